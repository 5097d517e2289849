"""The page on shards: each of its commands runs, those of the job on a real broker."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.kafka_fixtures import AnyBroker
from tests.support.kafka_jobs import ROOT, consume
from tests.support.shard_jobs import ShardedJob

PAGE = ROOT / "docs" / "scale-out.md"
ENDLESS = " run "
"""A command with this runs until it is stopped. Here it ends when it has learned everything."""


def commands() -> Iterator[str]:
    """Yield the commands of the page in order."""
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        yield from (line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ "))


@pytest.mark.kafka
def test_commands_of_the_page_run_in_order(
    new_shards: Callable[..., ShardedJob], broker: AnyBroker, tmp_path: Path
) -> None:
    job = new_shards()
    job.feed(600)
    here = tmp_path / "here"
    here.mkdir()
    (here / "freshrank").write_text(f'#!/bin/sh\nexec {sys.executable} -m flows.cli "$@"\n')
    (here / "freshrank").chmod(0o755)
    lines = ["user,item,timestamp", *(f"{user},{item},{at}" for user, item, at in job.rows)]
    (here / "events.csv").write_text("\n".join(lines) + "\n")
    job.variables.pop("RECOVERY")
    environment = {**os.environ, **job.environment, "PATH": f"{here}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = []
    for command in commands():
        if not command.startswith("freshrank "):
            continue
        line = command.replace("events.csv.gz", "events.csv").replace("/mnt/shared", str(here / "shared"))
        line += " --stop-at-end" if ENDLESS in line else ""
        done = subprocess.run(
            ["sh", "-c", line], cwd=here, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        ran.append(line.split()[1])
        if ran[-1] == "replay":
            assert "4 shards, with a round of deltas every" in done.stderr
        elif ran[-1] == "rescale":
            assert "in 4 shards" in done.stderr
    assert set(ran) == {"replay", "run", "rescale"}
    assert [file.name for file in (here / "shared" / "freshrank").iterdir()] == [f"{job.deltas}-shard-0.items"]
    assert len({message.key() for message in consume(broker, job.lists)}) == len({user for user, *_ in job.rows})


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("python -m ")])
def test_benchmarks_of_the_page_have_the_options_that_it_names(command: str) -> None:
    words = command.split()
    done = subprocess.run([sys.executable, *words[1:3], "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout
