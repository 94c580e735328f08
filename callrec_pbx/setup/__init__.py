"""`callrec-pbx setup`: what is put on the PBX; first as a plan, then for good."""
