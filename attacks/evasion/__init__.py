"""Attacks on sequences at inference."""
