"""Metrics of the job on the live page."""

from bytewax.testing import TestingSource
from prometheus_client.exposition import generate_latest

from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.monitoring.histogram import LatencyHistogram
from flows.monitoring.instrumented_source import InstrumentedSource
from flows.monitoring.metrics import MetricSources, registry_of
from flows.monitoring.weights import WeightsObserver
from flows.serve.live.job_metrics import parse_job_numbers, quantile
from tests.support.kafka_fixtures import config


def text_of(counters: Counters, latency: LatencyHistogram, weights: WeightsObserver) -> str:
    from flows.kafka.source import KafkaSource

    watched = InstrumentedSource(KafkaSource(config("127.0.0.1:1"), "events"), counters)
    sources = MetricSources(
        counters,
        latency,
        watched,
        info={"model": "blend/1"},
        lags=lambda: {("events", 0): 3, ("events", 1): 4},
        weights=weights,
    )
    return generate_latest(registry_of(sources)).decode()


def test_numbers_are_those_that_the_job_publishes() -> None:
    counters, latency, weights = Counters(learned=7, scored=5, hits=2), LatencyHistogram(), WeightsObserver()
    weights.weights, weights.drifts = {"factors": 1.5}, [100, 300]
    latency.add(0.001)
    before = parse_job_numbers(text_of(counters, latency, weights))
    assert before is not None
    assert (before.model, before.lag, before.learned, before.scored, before.hits) == ("blend/1", 7, 7, 5, 2)
    assert (before.weights, before.newest_drift) == ({"factors": 1.5}, 300)
    for _ in range(9):
        latency.add(0.5)
    after = parse_job_numbers(text_of(counters, latency, weights))
    assert after is not None
    median = quantile(before.latency, after.latency, 0.5)
    assert median is not None
    assert 0.5 <= median <= 1.0


def test_difference_of_a_challenger_is_read_once_it_was_scored() -> None:
    watched = InstrumentedSource(TestingSource([]), Counters())
    sources = MetricSources(Counters(), LatencyHistogram(), watched, challenge=Challenge())
    found = parse_job_numbers(generate_latest(registry_of(sources)).decode())
    assert found is not None
    assert found.difference == {}
    assert sources.challenge is not None
    sources.challenge.hits.update(False, True)
    found = parse_job_numbers(generate_latest(registry_of(sources)).decode())
    assert found is not None
    assert found.difference == {"mean": 1.0, "low": -1.0, "high": 1.0}


def test_page_of_something_else_is_no_job() -> None:
    assert parse_job_numbers("# HELP other\nother_total 3\n") is None
    assert parse_job_numbers("<html>") is None
