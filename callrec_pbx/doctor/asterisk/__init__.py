"""The doctor at Asterisk: what its manager interface and dialplan functions can tell."""
