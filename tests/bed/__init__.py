"""A test bed of two real Asterisks: the PBX under test, and the far end (phones and trunk)."""
