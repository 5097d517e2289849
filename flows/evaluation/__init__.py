"""Test-then-learn evaluation: protocol, scorer and metrics."""
