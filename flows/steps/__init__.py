"""The path of an event after decoding: a file a step, its helpers beside it."""
