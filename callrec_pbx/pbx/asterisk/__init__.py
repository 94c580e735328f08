"""Asterisk, over the manager interface (AMI)."""
