"""Connector for Kafka: source, sink, admin, offsets and outages. Knows no settings and no steps."""
