"""Reads the job's `/metrics`."""

import logging
import urllib.request
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from flows.errors import UsageError

logger = logging.getLogger(__name__)

_SECONDS: Final = 10.0
_MOST_BYTES: Final = 1_000_000


class JobNumbers(NamedTuple):
    """Numbers that only the job has."""

    model: str
    lag: int | None
    """Lag of the job in records."""
    scored: int
    hits: int
    learned: int
    latency: list[tuple[float, float]]
    """Time of a list: upper edges in seconds, and how many lists were at most as late."""
    weights: dict[str, float]
    newest_drift: int | None
    epoch_pause: float | None
    """Pause of the latest snapshot in seconds."""
    difference: dict[str, float]
    """Hit rate of a challenger minus that of the champion: `mean`, `low` and `high`. Empty without a challenger."""


def read_job_numbers(url: str) -> JobNumbers | None:
    """Read the job's metrics. None if it does not answer.

    Args:
        url: Address of its `/metrics`.
    """
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            text = answer.read(_MOST_BYTES).decode()
    except (OSError, ValueError) as error:
        logger.debug("the job at %s does not answer: %s", url, error)
        return None
    return parse_job_numbers(text)


def check_url(url: str) -> None:
    """Check the URL of the job's metrics.

    Raises:
        UsageError: It is no address of HTTP.
    """
    if url and not url.startswith(("http://", "https://")):
        raise UsageError(f"setting serve.job_metrics: expected http://host:port/metrics, or empty; got {url!r}.")


def parse_job_numbers(text: str) -> JobNumbers | None:
    """Read the numbers out of the text of Prometheus; None if it is not a job's."""
    single: dict[str, float] = {}
    weights: dict[str, float] = {}
    difference: dict[str, float] = {}
    latency: list[tuple[float, float]] = []
    lag, model = None, ""
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name, labels, value = sample.name, sample.labels, sample.value
                if name == "freshrank_lag_records":
                    lag = (lag or 0) + int(value)
                elif name == "freshrank_weight":
                    weights[labels["member"]] = value
                elif name == "freshrank_challenger_difference":
                    difference[labels["bound"]] = value
                elif name == "freshrank_list_latency_seconds_bucket":
                    latency.append((float(labels["le"]), value))
                elif name == "freshrank_info":
                    model = labels.get("model", "")
                else:
                    single[name] = value
    except (ValueError, KeyError):
        return None
    if "freshrank_learned_total" not in single:
        return None
    drift = single.get("freshrank_newest_drift_event")
    return JobNumbers(
        model,
        lag,
        int(single.get("freshrank_scored_total", 0)),
        int(single.get("freshrank_hits_total", 0)),
        int(single["freshrank_learned_total"]),
        latency,
        weights,
        None if drift is None else int(drift),
        single.get("freshrank_last_epoch_pause_seconds"),
        difference if single.get("freshrank_challenger_scored_total") else {},
    )


def quantile(before: list[tuple[float, float]], after: list[tuple[float, float]], q: float) -> float | None:
    """Return a quantile of what came between two readings of a histogram. None: nothing came.

    >>> quantile([(0.001, 5), (0.01, 5)], [(0.001, 6), (0.01, 9)], 0.5)
    0.01
    """
    was = dict(before)
    counts = [(edge, count - was.get(edge, 0.0)) for edge, count in after]
    total = counts[-1][1] if counts else 0.0
    if total <= 0:
        return None
    return next((edge for edge, count in counts if count >= q * total), None)
