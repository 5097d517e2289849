"""Test-then-learn: what is scored, against what, and every metric."""
