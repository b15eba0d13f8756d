"""Attacks on the rows of genuine users: removed, replaced, inserted, or moved in time."""
