"""The demonstration: real calls on a real Asterisk with callrec-pbx beside it."""
