"""Asking a model that somebody else runs: one client, whatever the protocol."""
