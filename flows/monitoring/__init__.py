"""Counters, histograms, metrics, health and logging."""
