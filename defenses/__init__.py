"""The defences: one class per file."""
