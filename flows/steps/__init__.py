"""Steps of the flow, one file each, in the order of an event's path: decode, clean, features, learn, emit, encode."""
