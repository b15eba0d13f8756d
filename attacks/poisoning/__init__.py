"""Attacks on the log that a victim is trained on."""
