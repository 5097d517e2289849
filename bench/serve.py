"""How fast `freshrank serve` is: a million lists, look-ups, fresh lists, intake, and the page.

A broker (the tests' own), the job and the server are processes of their own on one machine. Look-ups come from `wrk`,
and are left out where it is not installed.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.broker import on_a_broker
from bench.process import ROOT
from bench.report import Number, Section, main
from tests.support.kafka_broker import Broker, make_topic

ITEMS: Final = 10
PORT: Final = 18_080
WRK: Final = """
local count, seed = {count}, 0
function setup(thread) seed = seed + 1; thread:set("seed", seed) end
function init() math.randomseed(seed) end
function request() return wrk.format("GET", "/v1/users/u" .. math.random(0, count - 1) .. "/list?n=10") end
{delay}
"""


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
    def serving(self, store: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a server."""
        with self.running("serve", "--port", str(PORT), "--store", store, SERVE_JOB_METRICS="") as server:
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


def wrk(url: str, count: int, directory: Path, connections: int, rate: int | None) -> tuple[float, float]:
    """Run `wrk` for 20 seconds. With a rate, each connection waits between its requests.

    Returns:
        Requests per second, and the slowest hundredth in milliseconds.

    Raises:
        RuntimeError: Some requests failed.
    """
    pause = 0 if rate is None else 1_000 * connections // rate
    delay = "" if rate is None else f"function delay() return math.random(0, {2 * pause}) end"
    script = directory / "lookup.lua"
    script.write_text(WRK.format(count=count, delay=delay))
    command = ["wrk", "-t2", f"-c{connections}", "-d20s", "--latency", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = {line.split()[0]: line.split()[-1] for line in said.splitlines() if line.split()}
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", found["99%"]).groups()  # type: ignore[union-attr]
    return float(found["Requests/sec:"]), float(value) * {"us": 0.001, "ms": 1.0, "s": 1_000.0}[unit]


def quantiles(what: str, seconds: list[float], p50: float | None, p99: float) -> list[Number]:
    """Return the median and the slowest hundredth."""
    return [
        Number(f"{what}, p{100 * q:.0f}", float(np.quantile(seconds, q)) * 1_000, "ms", least=least, is_cost=True)
        for q, least in ((0.5, p50), (0.99, p99))
    ]


def lookup(stage: Stage, count: int) -> list[Number]:
    """Many lists from the topic and from the file, and look-ups."""
    url, store = f"http://127.0.0.1:{PORT}", str(stage.directory / "lists.sqlite")
    stage.fill(count)
    with stage.serving(store) as server:
        from_topic, memory = wait_ready(url), peak_mb(server)
    with stage.serving(store) as server:
        from_file = wait_ready(url)
        made = [
            Number(f"{count:,} lists from the topic", from_topic, "s", least=60, is_cost=True),
            Number("memory meanwhile", memory, "MB", least=1_500, is_cost=True),
            Number(f"{count:,} lists from the file", from_file, "s", least=5, is_cost=True),
        ]
        if shutil.which("wrk") is not None:
            wrk(url, count, stage.directory, 16, 2_000)  # warms up
            rate, slowest = wrk(url, count, stage.directory, 32, 2_200)  # the waits come on top of the answers
            fastest, _ = wrk(url, count, stage.directory, 16, None)
            made += [
                Number("look-ups, paced", rate, "/s", least=2_000),
                Number("the same, p99", slowest, "ms", least=5, aim=2, is_cost=True),
                Number("look-ups as fast as it goes", fastest, "/s", aim=5_000, least=2_000),
            ]
    return made


def learn(stage: Stage, events: int) -> None:
    """Give the job something to have learned."""
    draw = random.Random(1)
    producer = Producer({"bootstrap.servers": stage.bootstrap})
    for number in range(events):
        event = {"user": f"u{draw.randrange(500)}", "item": f"i{draw.randrange(300)}", "timestamp": time.time()}
        producer.produce(stage.events, orjson.dumps({**event, "id": f"w{number}"}))
    producer.flush(60)


def fresh(stage: Stage) -> list[Number]:
    """Fresh lists at 200 a second, beside the job."""
    url = f"http://127.0.0.1:{PORT}"
    learn(stage, 2_000)
    with stage.running("run", RECOVERY=stage.directory / "state"), stage.serving("memory"):
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
    return [
        *quantiles("fresh list, at most 200 a second", taken, 8, 30),
        Number("of these fresh", 100 * is_fresh / len(taken), "%"),
    ]


def intake(stage: Stage) -> list[Number]:
    """Events in batches of 50, until the server is killed; each that was answered must be on the topic."""
    url = f"http://127.0.0.1:{PORT}"
    answered: list[str] = []
    with stage.serving("memory") as server:
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
    return [
        Number("events in batches of 50", len(answered) / seconds, "/s", least=5_000),
        Number("of these lost when the server is killed", lost, "events", least=0, is_cost=True),
    ]


def page(stage: Stage) -> list[Number]:
    """From a list that is written to the event of the user's stream that shows it."""
    url, taken = f"http://127.0.0.1:{PORT}", []
    producer = Producer({"bootstrap.servers": stage.bootstrap, "linger.ms": 0})
    with stage.serving("memory"), httpx.Client(base_url=url, timeout=30) as site:
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
    return quantiles("the page shows a new list after", taken, None, 1_000)


def measure(quick: bool) -> Section:
    """Start a broker, and measure the server on it."""
    section = Section("The server", "python -m bench.serve")
    count = 20_000 if quick else 1_000_000

    def on(broker: Broker, directory: Path) -> None:
        section.numbers += lookup(Stage(broker, directory), count)
        for part in (fresh, intake, page):
            section.numbers += part(Stage(broker, directory))

    section.notes = [
        "Lists of 10 items in SQLite. Broker, job, server and the clients share the cores. Look-ups come from `wrk`, "
        "paced by waits of each of its 32 connections, so a slow server lowers the rate."
    ]
    return on_a_broker(section, on)


if __name__ == "__main__":
    main(measure)
