"""Inspection of a model: the profile of a user, and trends."""
