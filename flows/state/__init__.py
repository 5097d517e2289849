"""State that outlives the process: stateful steps, their store, and the recovery directory."""
