"""Ranking metrics and confidence intervals: plain NumPy."""
