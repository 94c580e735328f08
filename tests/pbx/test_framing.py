"""AMI bytes to messages."""
