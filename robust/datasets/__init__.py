"""Logs: readers, filters, splits, the embedded log and a synthetic generator."""
