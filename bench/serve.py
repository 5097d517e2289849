"""How fast `freshrank serve` is: look-ups, fresh lists, intake, a million lists, and the page.

    python -m bench.serve [--lists 1000000] [--only lookup,fresh,intake,page]

It starts a broker (the tests' own), the job and the server, each a process of its own on one machine. Look-ups come
from `wrk`, which must be installed. Each line has the number that was asked for beside what was measured, and the load
of the machine while it was measured.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.process import ROOT
from tests.support.kafka_broker import Broker, make_topic

ITEMS: Final = 10
PARTS: Final = ("lookup", "fresh", "intake", "page")
WRK: Final = """
local count, seed = {count}, 0
function setup(thread) seed = seed + 1; thread:set("seed", seed) end
function init() math.randomseed(seed) end
function request() return wrk.format("GET", "/v1/users/u" .. math.random(0, count - 1) .. "/list?n=10") end
{delay}
"""


def say(what: str, *values: str) -> None:
    """Print a line, with the load of the last minute."""
    print(f"{what:34} {'  '.join(values)}  (load {os.getloadavg()[0]:.1f})", flush=True)  # noqa: T201


class Stage:
    """A broker, topics of a new name, and the processes between them."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        name = uuid.uuid4().hex[:8]
        self.bootstrap = broker.bootstrap
        self.directory = directory
        self.events, self.lists, self.rejects = (f"{name}-{part}" for part in ("events", "lists", "rejects"))
        make_topic(self.bootstrap, self.events)
        make_topic(self.bootstrap, self.lists, cleanup_policy="compact")
        make_topic(self.bootstrap, self.rejects)

    @contextmanager
    def running(self, *command: str, **settings: object) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a command of freshrank, and end it as a signal would."""
        names = {
            "BOOTSTRAP": self.bootstrap,
            "INPUT_TOPIC": self.events,
            "OUTPUT_TOPIC": self.lists,
            "DEAD_LETTER_TOPIC": self.rejects,
            "GROUP": self.events,
            **settings,
        }
        variables = {f"FRESHRANK_{name}": str(value) for name, value in names.items()}
        with (self.directory / f"{command[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *command], cwd=ROOT, env={**os.environ, **variables}, stderr=log
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()

    @contextmanager
    def serving(self, port: int, store: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a server."""
        with self.running("serve", "--port", str(port), "--store", store, SERVE_JOB_METRICS="") as server:
            yield server

    def fill(self, count: int) -> None:
        """Write lists as the job does."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "queue.buffering.max.messages": 1_000_000})
        for number in range(count):
            listed = [{"item": f"item-{(number * 7 + k) % 50_000}", "score": 0.123456} for k in range(ITEMS)]
            value = {"user": f"u{number}", "items": listed, "event_time": 1.0, "source": "events/0/1", "model": "m"}
            producer.produce(self.lists, orjson.dumps(value), f"u{number}".encode())
            if number % 10_000 == 0:
                producer.poll(0)
        producer.flush(600)


def wait_ready(url: str) -> float:
    """Wait until a server is ready; return the seconds."""
    began = time.perf_counter()
    while True:
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return time.perf_counter() - began
        except httpx.HTTPError:
            pass
        time.sleep(0.05)


def peak_mb(process: "subprocess.Popen[bytes]") -> float:
    """Return the largest memory that a process has held."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def wrk(url: str, count: int, directory: Path, connections: int, rate: int | None) -> str:
    """Run `wrk` for 20 seconds; with a rate, each connection waits between its requests."""
    pause = 0 if rate is None else 1_000 * connections // rate
    delay = "" if rate is None else f"function delay() return math.random(0, {2 * pause}) end"
    script = directory / "lookup.lua"
    script.write_text(WRK.format(count=count, delay=delay))
    command = ["wrk", "-t2", f"-c{connections}", "-d20s", "--latency", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {line.split()[0]: line.split()[-1] for line in said.splitlines() if line.split()}
    errors = " ".join(line.strip() for line in said.splitlines() if "Non-2xx" in line or "Socket errors" in line)
    return f"{found['Requests/sec:']} /s  p50 {found['50%']}  p99 {found['99%']}  {errors}".rstrip()


def quantiles(seconds: list[float]) -> str:
    """Write the median and the slowest hundredth."""
    return " ".join(f"p{100 * q:.0f} {np.quantile(seconds, q) * 1_000:.1f} ms" for q in (0.5, 0.99))


def lookup(stage: Stage, count: int, port: int) -> None:
    """A million lists from the topic and from the file, and look-ups."""
    url, store = f"http://127.0.0.1:{port}", str(stage.directory / "lists.sqlite")
    stage.fill(count)
    with stage.serving(port, store) as server:
        seconds = wait_ready(url)
        say(f"{count:,} lists from the topic", f"{seconds:.1f} s, {peak_mb(server):,.0f} MB", "asked: 60 s, 1,500 MB")
    with stage.serving(port, store) as server:
        seconds = wait_ready(url)
        say(f"{count:,} lists from the file", f"{seconds:.1f} s, {peak_mb(server):,.0f} MB", "asked: 5 s")
        wrk(url, count, stage.directory, 16, 2_000)  # warms up
        say("look-ups at 2,000/s", wrk(url, count, stage.directory, 32, 2_000), "asked: p99 5 ms")
        say("look-ups as fast as it goes", wrk(url, count, stage.directory, 16, None), "aim: 5,000 /s")


def learn(stage: Stage, events: int) -> None:
    """Give the job something to have learned."""
    draw = random.Random(1)
    producer = Producer({"bootstrap.servers": stage.bootstrap})
    for number in range(events):
        event = {"user": f"u{draw.randrange(500)}", "item": f"i{draw.randrange(300)}", "timestamp": time.time()}
        producer.produce(stage.events, orjson.dumps({**event, "id": f"w{number}"}))
    producer.flush(60)


def fresh(stage: Stage, port: int) -> None:
    """Fresh lists at 200 a second, beside the job."""
    url = f"http://127.0.0.1:{port}"
    learn(stage, 2_000)
    with stage.running("run", RECOVERY=stage.directory / "state"), stage.serving(port, "memory"):
        wait_ready(url)
        with httpx.Client(base_url=url, timeout=30) as site:
            until = time.monotonic() + 120
            while not site.get("/v1/users/u1/list", params={"fresh": True}).json()["fresh"]:
                if time.monotonic() > until:
                    raise RuntimeError("the job gives no fresh list; see run.log")
                time.sleep(0.1)
            taken, is_fresh, due = [], 0, time.perf_counter()
            for number in range(4_000):
                due += 1 / 200
                time.sleep(max(0.0, due - time.perf_counter()))
                began = time.perf_counter()
                answer = site.get(f"/v1/users/u{number % 500}/list", params={"fresh": True}).json()
                if number >= 400:  # the first seconds warm up
                    taken.append(time.perf_counter() - began)
                    is_fresh += answer["fresh"]
        say("fresh lists, at most 200/s", quantiles(taken), f"{is_fresh:,} of {len(taken):,} fresh", "asked: 8, 30 ms")


def intake(stage: Stage, port: int) -> None:
    """Events in batches of 50, until the server is killed; each that was answered must be on the topic."""
    url = f"http://127.0.0.1:{port}"
    answered: list[str] = []
    with stage.serving(port, "memory") as server:
        wait_ready(url)
        began = time.perf_counter()
        with httpx.Client(base_url=url, timeout=30) as site:
            for batch in range(600):
                ids = [f"e{50 * batch + k}" for k in range(50)]
                rows = [{"user": f"u{k}", "item": "i1", "timestamp": 1.0, "id": each} for k, each in enumerate(ids)]
                if site.post("/v1/events", content=orjson.dumps(rows)).json()["accepted"] == 50:
                    answered += ids
        seconds = time.perf_counter() - began
        server.send_signal(signal.SIGKILL)
        server.wait()
    consumer = Consumer({"bootstrap.servers": stage.bootstrap, "group.id": "bench", "enable.partition.eof": True})
    consumer.assign([TopicPartition(stage.events, 0, 0)])
    found: set[str] = set()
    is_over = False
    while not is_over:
        for message in consumer.consume(10_000, 5):
            is_over = is_over or message.error() is not None
            found.add("" if message.error() else orjson.loads(message.value() or b"{}").get("id", ""))
    consumer.close()
    lost = len(set(answered) - found)
    say("events in batches of 50", f"{len(answered) / seconds:,.0f} /s, {lost} lost after a kill", "asked: 5,000 /s")


def page(stage: Stage, port: int) -> None:
    """From a list that is written to the event of the user's stream that shows it."""
    url, taken = f"http://127.0.0.1:{port}", []
    producer = Producer({"bootstrap.servers": stage.bootstrap, "linger.ms": 0})
    with stage.serving(port, "memory"), httpx.Client(base_url=url, timeout=30) as site:
        wait_ready(url)
        with site.stream("GET", "/v1/users/watched/stream") as stream:
            lines = stream.iter_lines()
            next(line for line in lines if line.startswith("data:"))
            for number in range(50):
                mark = f"i{number}-"
                value = {"user": "watched", "items": [{"item": mark}], "event_time": 1.0, "source": f"e/0/{number}"}
                began = time.perf_counter()
                producer.produce(stage.lists, orjson.dumps(value), b"watched")
                producer.flush(10)
                next(line for line in lines if mark in line)
                taken.append(time.perf_counter() - began)
    say("page shows a new list after", quantiles(taken), "asked: 1 s")


def main() -> None:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lists", type=int, default=1_000_000)
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--port", type=int, default=18_080)
    asked = parser.parse_args()
    parts = asked.only.split(",")
    if "lookup" in parts and shutil.which("wrk") is None:
        sys.exit("bench.serve: expected the command wrk; there is none. Install it, or leave out lookup: --only fresh")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshrank-bench-")))
        broker = Broker(directory / "broker")
        stack.callback(broker.kill)
        broker.start(300)
        if "lookup" in parts:
            lookup(Stage(broker, directory), asked.lists, asked.port)
        for part in (fresh, intake, page):
            if part.__name__ in parts:
                part(Stage(broker, directory), asked.port)


if __name__ == "__main__":
    main()
