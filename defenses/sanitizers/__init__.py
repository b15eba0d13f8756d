"""Defences that clean a log before a fit."""
