"""Many replays, each in a process of its own: compare, tune, and the cache of results."""
