"""Audio: the prompts that callers and agents hear."""
