"""Tables bounded in size, kept as arrays."""
