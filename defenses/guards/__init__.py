"""Defences that clean a sequence before it is ranked."""
