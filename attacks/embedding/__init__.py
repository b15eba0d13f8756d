"""Attacks in the embedding space."""
