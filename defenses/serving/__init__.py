"""Defences that change what is answered, and to whom."""
