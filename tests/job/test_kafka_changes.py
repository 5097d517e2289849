"""The page on changes of a running job: each of its commands runs on a real broker, and prints what the page says."""

import os
import re
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from tests.support.flow import sample_records
from tests.support.kafka_fixtures import AnyBroker
from tests.support.kafka_jobs import consume

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "changes.md"
RESET = """
import sys
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
given = dict(zip(sys.argv[1:], sys.argv[2:]))
where = TopicPartition(given["--topic"], 0, int(given["--to-offset"]))
admin = AdminClient({"bootstrap.servers": given["--bootstrap-server"]})
asked = [ConsumerGroupTopicPartitions(given["--group"], [where])]
for done in admin.alter_consumer_group_offsets(asked).values():
    done.result(30)
"""
"""Does to the broker what Kafka's `kafka-consumer-groups.sh --reset-offsets` does, which the broker's jars lack."""


class Command(NamedTuple):
    """A command of the page, and what it prints there."""

    section: str
    line: str
    printed: list[str]


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a page in order."""
    section = ""
    for head, block in re.findall(r"^## ([^\n]+)$|^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        section = head or section
        for part in re.split(r"^ *\$ ", block, flags=re.MULTILINE)[1:]:
            line, *printed = [each.strip() for each in part.strip().splitlines()]
            yield Command(section, line, printed)


class Shop:
    """A directory with the files of the page, and names of topics of its own."""

    def __init__(self, broker: AnyBroker, directory: Path) -> None:
        self.broker = broker
        self.directory = directory
        self.prefix = f"shop{uuid.uuid4().hex[:6]}-"
        self.page = self.named(PAGE.read_text())
        for name, block in re.findall(r"```toml\n# (\S+)\n(.*?)```", self.page, re.DOTALL):
            (directory / name).write_text(block)
        records = [orjson.loads(record) for record in sample_records(1_700)]
        rows = [f"{each['user']},{each['item']},{each['timestamp']}\n" for each in records]
        for name, part in (("first", rows[:1_000]), ("second", rows[1_000:1_500]), ("third", rows[1_500:])):
            (directory / f"{name}.csv").write_text("user,item,timestamp\n" + "".join(part))
        self.script("freshrank", f'exec {sys.executable} -m flows.cli "$@"')
        (directory / "reset.py").write_text(RESET)
        self.script("kafka-consumer-groups.sh", f'exec {sys.executable} {directory}/reset.py "$@"')

    def named(self, text: str) -> str:
        """Give the page the broker's address and the names of the topics."""
        return text.replace("shop-", self.prefix).replace("localhost:9092", self.broker.bootstrap)

    def script(self, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, line: str) -> str:
        environment = {
            **os.environ,
            "PATH": f"{self.directory}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "500",
        }
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.stdout + done.stderr

    def lists(self, topic: str) -> list[tuple[str, str]]:
        """Return user and position of all lists of a topic in order, without fallback lists."""
        values = [message.value() or b"null" for message in consume(self.broker, self.named(topic))]
        return [
            (each["user"], each["source"].rpartition("/")[2])
            for each in map(orjson.loads, values)
            if each and each["user"]
        ]


def test_commands_of_the_page_do_what_it_says(broker: AnyBroker, tmp_path: Path) -> None:
    shop = Shop(broker, tmp_path)
    asked = list(commands(shop.page))
    assert {each.section.partition(":")[0] for each in asked} >= {"Blue/green", "Offset reset", "Upgrade", "Rollback"}
    wrong = []
    for command in asked:
        said = shop.run(command.line)
        for printed in command.printed:
            pattern = ".*".join(re.escape(part) for part in printed.split("…"))
            if not re.search(pattern, said):
                wrong.append(f"{command.line}\nexpected {printed}\ngot {said}")
    assert not wrong, "\n".join(wrong)

    users = {orjson.loads(record)["user"] for record in sample_records(1_000)}
    green = shop.lists("shop-lists-green")
    assert {user for user, _ in green[: len(users)]} == users, "one list for each user whom green has learned of"
    assert [int(source) for _, source in green[len(users) :]] == list(range(1_000, 1_500)), "then one for each event"
    blue = [int(source) for _, source in shop.lists("shop-lists")]
    again = [*range(1_400, 1_500), *range(1_500), *range(1_500, 1_700), *range(1_500, 1_700)]
    assert blue == [*range(1_500), *again], "no event without a list, and only those twice that were asked for"
