"""Jobs: `run`, `check`, `feed` and `resend` connect the pipeline to Kafka or another system."""
