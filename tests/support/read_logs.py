"""What is read of logs: shared by the tests of inputs."""

from collections.abc import Iterator
from pathlib import Path

from flows.files.open_log import Log
from flows.messages import Event, Interaction, Raw, Rejected

HEADER = "user,item,timestamp"


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]))
    return path


def records(log: Log) -> Iterator[Raw]:
    part = log.source.build_part("test", "log", None)
    while True:
        try:
            yield from part.next_batch()
        except StopIteration:
            return


def events(log: Log) -> list[Event | Rejected]:
    return [log.decoder(raw, 0.0) for raw in records(log)]


def topics_and_users(log: Log) -> list[tuple[str, str]]:
    return [(event.source, event.user if isinstance(event, Interaction) else "") for event in events(log)]
