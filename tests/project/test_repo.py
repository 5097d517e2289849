"""Promises about the code itself: who may import what, and that the diagram is the flow."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bytewax.testing import TestingSink, TestingSource
from bytewax.visualize import to_rendered

from flows.formats.json_events import JsonDecoder
from flows.pipeline import Connections, build_flow
from flows.settings import Settings

ROOT = Path(__file__).parent.parent.parent
TESTS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py")])
SOURCES = sorted([*ROOT.glob("flows/**/*.py"), *ROOT.glob("recmodels/**/*.py")])

STATE_STEPS = [
    "freshrank.clean.hold_back.crowd.state",
    "freshrank.clean.ids.state",
    "freshrank.emit.lists.state",
    "freshrank.learn.model.state",
    "freshrank.refresh.due.state",
]
"""Step ids under which state is stored: a change of one is a change of the recovery format."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def importers(package: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for name in imports(path)
        if name == package or name.startswith(f"{package}.")
    }


def test_recmodels_knows_nothing_of_the_flow_the_engine_or_kafka() -> None:
    for package in ("flows", "bytewax", "confluent_kafka", "orjson", "msgspec", "pydantic", "typer", "rich"):
        assert not {name for name in importers(package) if name.startswith("recmodels/")}


def test_only_the_kafka_room_and_the_job_import_the_kafka_client() -> None:
    assert all(name.startswith(("flows/kafka/", "flows/job/")) for name in importers("confluent_kafka"))


def test_kernels_are_compiled_in_one_way() -> None:
    users = {name for name in importers("numba") if name.startswith("recmodels/")}
    assert users == {f"recmodels/kernels/{name}.py" for name in ("compile", "state_pointer", "prefetch")}


def test_keras_and_jax_are_imported_in_one_place_and_only_when_asked_for() -> None:
    assert importers("keras") == importers("jax") == {"recmodels/deep/backend.py"}
    heavy = "sorted({name.partition('.')[0] for name in sys.modules} & {'keras', 'jax', 'tensorflow', 'torch'})"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, flows.cli, recmodels.checks as c; print({heavy})"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def test_most_files_are_short() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in [*SOURCES, *TESTS])
    assert lengths[len(lengths) // 2] <= 150


def built_steps() -> tuple[list[str], list[str]]:
    connections = Connections(
        source=TestingSource([]),
        decoder=JsonDecoder(),
        lists=TestingSink([]),
        dead_letters=TestingSink([]),
        dead_letter=lambda rejected: rejected,
        scores=TestingSink([]),
    )
    rendered = to_rendered(build_flow(Settings(), connections))
    outer, inner = [], []

    def walk(step: object) -> None:
        inner.append(step.step_id)  # type: ignore[attr-defined]
        for child in step.substeps:  # type: ignore[attr-defined]
            walk(child)

    for step in rendered.substeps:
        outer.append(step.step_id.removeprefix("freshrank."))
        walk(step)
    return outer, inner


def test_the_diagram_is_the_flow() -> None:
    steps, _ = built_steps()
    readme = (ROOT / "README.md").read_text()
    diagram = re.search(r"```\n(source ─.*?)```", readme, re.DOTALL)
    assert diagram is not None, "README shows the flow"
    words = re.findall(r"[a-z]+(?: letters)?", diagram[1].splitlines()[0])
    path = ["learn" if word in ("learn", "rank") else word for word in words]
    helpers = {"shard", "unshard", "refresh", "dead_letters", "scores"}
    assert list(dict.fromkeys(path)) == [step for step in steps if step not in helpers]
    assert diagram[1] in (ROOT / "flows" / "__init__.py").read_text()


def test_step_ids_are_a_storage_format() -> None:
    _, inner = built_steps()
    for step in STATE_STEPS:
        assert step in inner
