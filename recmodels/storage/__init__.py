"""Tables of bounded size, as arrays."""
