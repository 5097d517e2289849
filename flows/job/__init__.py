"""What `run`, `check` and `feed` do: Kafka joined to the pipeline."""
