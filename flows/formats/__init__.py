"""What bytes mean: JSON and CSV events, and dead letters."""
