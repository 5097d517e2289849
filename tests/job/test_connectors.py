"""Own connectors: the code of docs/connectors.md reads, writes, resumes and fails as the page says."""

import re
import sqlite3
from pathlib import Path

import orjson
import pytest
from prometheus_client import generate_latest
from typer.testing import CliRunner

from flows.cli import app
from flows.errors import UsageError
from flows.job.connections import KafkaConnector, connector_of, gather
from flows.job.run import run
from flows.monitoring.metrics import registry_of
from flows.replay import replay
from flows.settings import Settings
from tests.support.flow import event


def settings_of(shop: Path) -> Settings:
    return Settings(connector="shop:Shop", model="history", recovery=shop / "state", epoch_seconds=0.01)


def lists_in(shop: Path) -> dict[str, list[str]]:
    with sqlite3.connect(shop / "lists.db") as connection:
        rows = connection.execute("select key, value from lists").fetchall()
    return {key: [each["item"] for each in orjson.loads(value)["items"]] for key, value in rows}


def write(shop: Path, name: str, records: list[bytes]) -> None:
    (shop / "events" / name).write_bytes(b"".join(record + b"\n" for record in records))


def test_job_reads_a_folder_writes_a_database_and_resumes(shop: Path) -> None:
    first = [event(f"u{n % 7}", f"i{n * n % 11}", float(n)) for n in range(100)]
    second = [event(f"u{n % 7}", f"i{n * n % 5}", float(n)) for n in range(100, 150)]
    write(shop, "1.jsonl", [*first, b"not json"])
    assert run(settings_of(shop), stop_at_end=True).learned == 100
    write(shop, "2.jsonl", second)
    assert run(settings_of(shop), stop_at_end=True).learned == 50, "the first file is not read again"
    log, out = shop / "all.jsonl", shop / "expected.jsonl"
    log.write_bytes(b"".join(record + b"\n" for record in [*first, *second]))
    replay(log, Settings(model="history"), out=out)
    expected = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    expected_lists = {each["user"]: [entry["item"] for entry in each["items"]] for each in expected}
    assert {user: items for user, items in lists_in(shop).items() if user} == {
        user: items for user, items in expected_lists.items() if user
    }
    with sqlite3.connect(shop / "lists.db") as connection:
        assert connection.execute("select * from rejects").fetchall() == [("events/0/100", "not JSON", b"not json")]


def test_job_that_fails_in_the_sink_writes_the_lists_when_it_is_started_again(shop: Path) -> None:
    write(shop, "1.jsonl", [event(f"u{n % 7}", f"i{n % 11}", float(n)) for n in range(200)])
    connector = connector_of(settings_of(shop))
    connector.prepare()
    with sqlite3.connect(shop / "lists.db") as connection:
        connection.execute(
            "create trigger full before insert on lists when new.key = 'u6' begin select raise(fail, 'full'); end"
        )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        run(settings_of(shop), stop_at_end=True)
    with sqlite3.connect(shop / "lists.db") as connection:
        connection.execute("drop trigger full")
    run(settings_of(shop), stop_at_end=True)
    assert {user for user in lists_in(shop) if user} == {f"u{n}" for n in range(7)}


def test_check_and_run_say_what_a_connector_finds(shop: Path) -> None:
    (shop / "events").rmdir()
    for command in ("check", "run"):
        found = CliRunner().invoke(app, [command, "--connector", "shop:Shop"])
        assert str(found.exception).endswith("events: expected a directory. Create it, or correct SHOP_FOLDER.")


def test_deliveries_of_a_connector_are_metrics(shop: Path) -> None:
    write(shop, "1.jsonl", [event("ann", "tea", 1.0)])
    settings = settings_of(shop)
    connections = connector_of(settings).connect(None, True)
    exported = generate_latest(registry_of(gather(settings, connections))).decode()
    assert 'freshrank_delivered_total{to="lists"} 0.0' in exported


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere:Shop", "cannot be imported (ModuleNotFoundError"),
        ("shop:Nothing", "cannot be imported (AttributeError"),
        ("shop:PATH", "which is no class"),
        ("redis", "expected `kafka` or `package.module:Class`; got 'redis'"),
    ],
)
def test_unknown_connector_is_wrong_use(shop: Path, named: str, said: str) -> None:
    with (shop / "shop.py").open("a") as file:
        file.write("\nPATH = 1\n")
    with pytest.raises(UsageError, match=re.escape(said)):
        connector_of(Settings(connector=named))


def test_kafka_is_the_connector_by_default(shop: Path) -> None:
    connector = connector_of(Settings())
    assert isinstance(connector, KafkaConnector)
    assert (connector.input_name, connector.place) == ("events", "localhost:9092")
    with pytest.raises(UsageError, match="--from-group: only topics of Kafka have it"):
        connector_of(Settings(connector="shop:Shop"), "group")
