"""Checkpoint files: which there are, whose weights they hold, and what they say of themselves."""
