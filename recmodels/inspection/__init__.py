"""What a model knows: the profile of a user, and trends."""
