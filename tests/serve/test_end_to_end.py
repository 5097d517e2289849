"""A site, the server, Kafka and the job."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from flows.replay import replay
from flows.settings import Settings
from tests.support.flow import records_of
from tests.support.kafka_jobs import Job
from tests.support.serving import running_server

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.real_log, pytest.mark.slow]

EVENTS = 2_500


def test_site_that_asks_for_fresh_lists_has_the_fresh_hit_rate(
    new_job: Callable[..., Job], real_log: Callable[[str], Path], tmp_path: Path
) -> None:
    records = records_of(real_log("ml-100k"), EVENTS)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(record + b"\n" for record in records))
    expected = replay(log, Settings(repeats="exclude"))

    job = new_job(REPEATS="exclude")
    job.start()
    settings = Settings(
        bootstrap=job.broker.bootstrap,
        input_topic=job.events,
        output_topic=job.lists,
        dead_letter_topic=job.rejects,
        repeats="exclude",
    )
    hits = scored = fresh = 0
    had: set[tuple[str, str]] = set()
    with running_server(settings, fresh_wait=10.0) as server:
        server.wait_ready()
        for record in records:
            event = orjson.loads(record)
            user, item = event["user"], event["item"]
            if (user, item) not in had:
                found = server.list_of(user, n=10, fresh=True, at=event["timestamp"])
                fresh += found["fresh"]
                scored += 1
                hits += item in [each["item"] for each in found["items"]]
            had.add((user, item))
            answer = server.http.post("/v1/events", content=record)
            assert answer.json()["accepted"] == 1
    assert (fresh, scored) == (scored, expected.report()["scored"])
    assert hits / scored == pytest.approx(expected.metrics["hit_rate@10"], rel=0.02)  # it was equal when measured
