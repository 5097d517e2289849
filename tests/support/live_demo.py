"""`make live`: a broker, the job, the server and the bundled log at a visible pace.

The broker is that of `FRESHRANK_BOOTSTRAP`, or the tests' own (Java and Maven bring it). Ctrl-C ends all of it.
"""

import csv
import gzip
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import orjson
from confluent_kafka.admin import AdminClient

from flows import sample
from tests.support.kafka_broker import Broker, NoBrokerError, make_topic

PORT: Final = int(os.environ.get("FRESHRANK_SERVE_PORT", "8080"))
RATE: Final = float(os.environ.get("LIVE_RATE", "25"))
"""Events per second."""
AT_ONCE: Final = 5_000
"""Events that are fed at once before, so that the first lists are worth looking at."""
TOPIC: Final = "live-events"
WRITTEN: Final = {"live-lists", "live-rejects", "live-related", "live-trending"}
"""Topics that the job makes. The server starts when they are there."""
ROOT: Final = Path(__file__).parent.parent.parent


def items() -> list[bytes]:
    """The films of the log as item events."""
    rows = csv.DictReader(io.StringIO(gzip.decompress(sample.ITEMS.read_bytes()).decode()))
    return [
        orjson.dumps(
            {
                "kind": "item",
                "item": row["item"],
                "timestamp": 0,
                "features": {"title": row["title"], "tags": row["genres"].split("|")},
            }
        )
        for row in rows
    ]


def halves(directory: Path) -> tuple[Path, Path]:
    """The log in two files: what is fed at once, and what is fed at a visible pace."""
    header, *rows = gzip.decompress(sample.EVENTS.read_bytes()).decode().splitlines(keepends=True)
    first, rest = directory / "first.csv", directory / "rest.csv"
    first.write_text(header + "".join(rows[:AT_ONCE]))
    rest.write_text(header + "".join(rows[AT_ONCE:]))
    return first, rest


def start(*arguments: str, **settings: str) -> "subprocess.Popen[bytes]":
    """Start a command of freshrank."""
    return subprocess.Popen([sys.executable, "-m", "flows.cli", *arguments], cwd=ROOT, env={**os.environ, **settings})


def is_there(url: str) -> bool:
    """Say whether the server is ready."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def post_items(url: str) -> None:
    """Send the films through the server, as a shop would send its items."""
    every = items()
    for place in range(0, len(every), 500):
        body = b"\n".join(every[place : place + 500])
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/events", body), timeout=30):
            pass


def main() -> None:
    """Run until Ctrl-C."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopped.set())
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshrank-live-")))
        bootstrap = os.environ.get("FRESHRANK_BOOTSTRAP")
        if bootstrap is None:
            print("Starting a broker. The first time, Maven fetches it.", flush=True)  # noqa: T201
            broker = Broker(directory / "broker")
            stack.callback(broker.kill)
            broker.start()
            bootstrap = broker.bootstrap
            make_topic(bootstrap, TOPIC)
        os.environ |= {
            "FRESHRANK_BOOTSTRAP": bootstrap,
            "FRESHRANK_INPUT_TOPIC": TOPIC,
            "FRESHRANK_OUTPUT_TOPIC": "live-lists",
            "FRESHRANK_DEAD_LETTER_TOPIC": "live-rejects",
            "FRESHRANK_GROUP": "live",
            "FRESHRANK_REPEATS": "exclude",
            "FRESHRANK_FALLBACK": "true",
            "FRESHRANK_WHY": "true",
            "FRESHRANK_RELATED": "1",
            "FRESHRANK_RELATED_TOPIC": "live-related",
            "FRESHRANK_TRENDING": "0.25",
            "FRESHRANK_TRENDING_TOPIC": "live-trending",
            "FRESHRANK_RECOVERY": str(directory / "state"),
            "FRESHRANK_METRICS_PORT": os.environ.get("FRESHRANK_METRICS_PORT", "9464"),
        }
        os.environ["FRESHRANK_SERVE_JOB_METRICS"] = f"http://127.0.0.1:{os.environ['FRESHRANK_METRICS_PORT']}/metrics"
        url = f"http://127.0.0.1:{PORT}"
        first, rest = halves(directory)
        running = [start("feed", str(first), "--if-empty"), start("run")]
        stack.callback(end, running)
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        wait_until(lambda: admin.list_topics(timeout=10).topics.keys() >= WRITTEN, running, stopped)
        running.append(start("serve", "--port", str(PORT), "--store", "memory"))
        wait_until(lambda: is_there(url), running, stopped)
        if stopped.is_set():
            return
        post_items(url)
        running.append(start("feed", str(rest), "--rate", f"{RATE:g}"))
        print(f"\n    The live page: {url}/\n    Ctrl-C ends it.\n", flush=True)  # noqa: T201
        wait_until(lambda: False, running, stopped)


def wait_until(is_done: Callable[[], bool], running: "list[subprocess.Popen[bytes]]", stopped: threading.Event) -> None:
    """Wait for something, or for Ctrl-C. End if one of the parts fails."""
    while not is_done() and not stopped.wait(0.5):
        if any(process.poll() for process in running):
            sys.exit("freshrank: a part has ended; the lines above say why.")


def end(running: "list[subprocess.Popen[bytes]]") -> None:
    """End what was started, the feed first."""
    for process in reversed(running):
        process.terminate()
    for process in running:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    try:
        main()
    except NoBrokerError as reason:
        sys.exit(f"freshrank: {reason}. Or set FRESHRANK_BOOTSTRAP to a broker of yours.")
