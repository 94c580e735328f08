"""The policy as administrators keep it: written, versioned, checked against what law expects."""
