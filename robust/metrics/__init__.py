"""Metrics per user and per list; numpy only."""
