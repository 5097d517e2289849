"""The members: a file for each, which says all that the kernels need to know of it."""
