"""Cold start: time from the command to its first list, with compiled kernels and on the very first run."""

import tempfile
from pathlib import Path

import orjson

from bench.process import run
from bench.report import Section, main, median, shown, table
from flows.sample import EVENTS

COMPILING = "Compiling the kernels"


def measure(quick: bool) -> Section:
    """Start the command for one event, several times, on two cores."""
    section = Section("Cold start of the command", "python -m bench.cold_start")
    rounds = 2 if quick else 7
    first_list()  # compiles the kernels if necessary
    warm = [first_list()[0] for _ in range(rounds)]
    constant = [first_list("--model", "bench.floor:Constant")[0] for _ in range(rounds)]
    nothing = [run(["-c", "pass"], one_core=False)[1] for _ in range(rounds)]
    compiled = []
    for _ in range(1 if quick else 3):
        with tempfile.TemporaryDirectory() as cache:
            first, said = first_list(cache=cache)
            assert COMPILING in said, said
            second, said = first_list(cache=cache)
            assert COMPILING not in said, said
            compiled.append(first - second)
    section.numbers = [
        median("first list, kernel cache warm", warm, "s", 3.0, 1.5, is_cost=True),
        median("kernel compilation on the very first run", compiled, "s", 40.0, 15.0, is_cost=True),
    ]
    section.notes = [
        f"`freshrank replay` of one event of the bundled log until the process has ended, its list written: medians of "
        f"{rounds} starts, and of {len(compiled)} with an empty kernel cache, each against a second start that finds "
        "what the first has compiled. The first says on the screen that it compiles; the second says nothing.",
        table(
            ("what a start takes", "s"),
            [
                ("the interpreter, doing nothing", shown(median("", nothing, "").value)),
                ("… with the flow and a constant model", shown(median("", constant, "").value)),
                ("… with the blend: its kernels are loaded", shown(median("", warm, "").value)),
            ],
        ),
        "Slowest imports, in ms: " + ", ".join(f"`{name}` {ms:.0f}" for name, ms in slowest_imports()) + ".",
    ]
    return section


def first_list(*arguments: str, cache: str | None = None) -> tuple[float, str]:
    """Run the command on one event, and return the seconds until its list is written, and its output."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "lists.jsonl"
        command = ["-m", "flows.cli", "replay", str(EVENTS), "--limit", "1", "--out", str(out), *arguments]
        said, seconds = run(command, variables={"NUMBA_CACHE_DIR": cache} if cache else {}, one_core=False)
        lists = out.read_bytes().splitlines()
        assert len(lists) == 1, lists
        assert orjson.loads(lists[0])["source"] == "events/0/0", lists
        return seconds, said


def slowest_imports(count: int = 6) -> list[tuple[str, float]]:
    """Return the libraries that take longest to import, with what they import themselves, in ms."""
    said, _ = run(["-X", "importtime", "-c", "import flows.cli"])
    found: dict[str, float] = {}
    for line in said.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[1].strip().isdigit():
            name = parts[2].strip()
            if "." not in name and name not in ("flows", "recmodels", "site"):
                found[name] = int(parts[1]) / 1_000
    return sorted(found.items(), key=lambda pair: -pair[1])[:count]


if __name__ == "__main__":
    main(measure)
