"""From measurements to a verdict (numpy and scipy only)."""
