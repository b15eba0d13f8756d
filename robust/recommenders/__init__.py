"""Recommenders: protocols, built-in victims, and how foreign models are adapted."""
