"""Runs every benchmark, and writes `bench/results.md`: `python -m bench.run [--quick] [--only kafka,soak]`.

A full run takes most of an hour on an idle machine. So `results.json` keeps the results of each benchmark with its
commit. Benchmarks that are not run again keep their results.
"""

import argparse
import importlib
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.report import Number, Section, shown, table

MEASURES = (
    "ablation",
    "replay_speed",
    "latency",
    "kernels",
    "catalogue",
    "memory",
    "soak",
    "cold_start",
    "kafka",
    "catch_up",
    "backfill",
    "backfill_kafka",
    "serve",
    "plain_models",
    "aa_coverage",
)
LIBRARIES = ("bytewax", "river", "numba", "numpy", "orjson", "msgspec", "confluent-kafka")
HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


def main() -> int:
    """Run the chosen benchmarks, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs; results go to the screen only")
    parser.add_argument("--only", default=",".join(MEASURES), help="names of measures, with commas between them")
    asked = parser.parse_args()
    sections: dict[str, Section] = {}
    if not asked.quick and RESULTS.exists():
        sections = msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Section])
    failed = 0
    for name in asked.only.split(","):
        start = time.perf_counter()
        sys.stderr.write(f"{name} … ")
        sys.stderr.flush()
        try:
            section: Section = importlib.import_module(f"bench.{name}").measure(asked.quick)
        except Exception:
            failed += 1
            section = Section(f"{name}: failed", f"python -m bench.{name}", notes=[fault()])
        section.measured = occasion()
        sections[name] = section
        if not asked.quick:  # after each, as a full run takes long
            sections = {name: sections[name] for name in MEASURES if name in sections}
            RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(sections), indent=1) + b"\n")
            (HERE / "results.md").write_text(to_markdown(sections.values(), quick=False), encoding="utf-8")
        sys.stderr.write(f"{time.perf_counter() - start:.0f} s\n")
    if asked.quick:
        sys.stdout.write(to_markdown(sections.values(), quick=True))
    return 1 if failed else 0


def to_markdown(sections: Collection[Section], quick: bool) -> str:
    """Return all sections as Markdown, with the targets first."""
    numbers = [number for section in sections for number in section.numbers if number.least is not None]
    rows = [(n.what, f"{shown(n.value)} {n.unit}", bounds(n), n.verdict) for n in numbers]
    head = [
        "# Results of the bench",
        "",
        "Written by `make bench`" + (", and quick: too few events and runs to be quoted." if quick else "."),
        "",
        machine(),
        "",
        "The machine is shared, and several times slower on some days. The *yardstick* of a section is the CPU time of "
        "one turn of a plain Python loop at that time. Sections of different days compare by it.",
        "",
        table(("what", "measured", "at least / aim", "verdict"), rows),
        "",
    ]
    lessons = HERE / "lessons.md"
    tail = [lessons.read_text(encoding="utf-8")] if lessons.exists() else []
    return "\n".join([*head, *(section.to_markdown() for section in sections), *tail])


def machine() -> str:
    """Describe the machine and the versions."""
    processor = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{processor}, {len(os.sched_getaffinity(0))} shared cores, {pages / 2**30:.0f} GB; Linux "
        f"{platform.release()}; Python {platform.python_version()}, {versions}."
    )


def occasion() -> str:
    """Describe date, commit, and load and speed of the machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    revision = commit.stdout.strip() or "unknown"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M}, commit {revision}, load average at the end {os.getloadavg()[2]:.1f}, "
        f"yardstick {yardstick():.0f} ns"
    )


def yardstick() -> float:
    """Return the CPU time of one turn of a plain Python loop, in nanoseconds.

    A shared machine is several times slower on some days. Divide by this number to compare times of different days.
    """
    turns = 2_000_000
    began = time.process_time()
    total = 0
    for number in range(turns):
        total += number
    assert total == turns * (turns - 1) // 2
    return (time.process_time() - began) / turns * 1e9


def bounds(number: Number) -> str:
    """Format both targets."""
    sign = "≤" if number.is_cost else "≥"
    return " / ".join(f"{sign} {shown(value)}" for value in (number.least, number.aim) if value is not None)


def fault() -> str:
    """Return the reason of a failure, without folders of this machine."""
    text = traceback.format_exc().replace(str(HERE.parent), ".").replace(sys.prefix, "venv")
    return f"```\n{text[-2_500:]}\n```"


if __name__ == "__main__":
    sys.exit(main())
