"""Several shards: processes that own users, and learn of items together."""
