"""`callrec-pbx doctor`: what is right, what is not, and how to mend it."""
