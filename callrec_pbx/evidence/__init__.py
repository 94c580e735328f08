"""What can be shown of one call: a document that says what is known, and what is not."""
