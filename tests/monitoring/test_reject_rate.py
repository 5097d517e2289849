"""Rejects above a rate stop the job."""

import pytest

from flows.monitoring.instrumented_source import REJECT_WINDOW, TooManyRejectsError
from tests.support.flow import event
from tests.support.monitored_flow import watching


def bad(every: int, count: int) -> list[bytes]:
    return [b"garbage" if n % every == 0 else event("u", "tea", n) for n in range(count)]


def test_rejects_above_the_rate_stop_the_job_and_are_named() -> None:
    job = watching(bad(4, 5 * REJECT_WINDOW), max_reject_rate=0.2)
    with pytest.raises(TooManyRejectsError, match=r"at most 20.0% .* not JSON.*`max_reject_rate`"):
        job.run(model="popularity")
    assert job.connections.counters.received < 2 * REJECT_WINDOW
    assert len(job.letters) == job.connections.counters.rejected.total()


@pytest.mark.parametrize(("every", "rate"), [(4, 0.3), (1, 1.0), (10_000, 0.001)])
def test_rejects_up_to_the_rate_do_not(every: int, rate: float) -> None:
    job = watching(bad(every, 5 * REJECT_WINDOW), max_reject_rate=rate)
    job.run(model="popularity")
    assert job.connections.counters.read == 5 * REJECT_WINDOW
