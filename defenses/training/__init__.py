"""Defences that fit differently."""
