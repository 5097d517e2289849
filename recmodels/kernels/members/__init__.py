"""Members of the compiled models, one file each, with the declaration of each in `MEMBER`."""
