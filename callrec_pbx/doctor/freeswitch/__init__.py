"""The doctor at FreeSWITCH: what its event socket can tell."""
