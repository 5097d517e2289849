"""Rules for the code itself: imports between rooms, length of files, and the diagram of the flow."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest
from bytewax.testing import TestingSink, TestingSource
from bytewax.visualize import to_rendered

from flows.formats.json_events import JsonDecoder
from flows.pipeline import Connections, build_flow
from flows.settings import Settings

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted([*ROOT.glob("flows/**/*.py"), *ROOT.glob("recmodels/**/*.py")])
TESTS = sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py")])

FLOORS = {
    "flows": [
        ["messages", "errors", "presets", "sample", "setting_fields"],
        ["state"],
        ["formats", "kafka", "engine"],
        ["files", "monitoring", "shards", "trainer"],
        ["steps"],
        ["settings", "inspection"],
        ["evaluation", "settings_reference"],
        ["replay_result"],
        ["pipeline"],
        ["job", "replay"],
        ["recommend", "report"],
        ["experiments", "serve"],
        ["commands"],
        ["cli"],
    ],
    "recmodels": [
        ["storage", "validation", "rewards", "platt", "evaluation", "import_alone", "own_code"],
        ["base", "kernels"],
        ["river_seeds", "river_expression", "word_encoder", "wrapper"],
        ["encoder_choice"],
        ["river_model", "exploration", "deep", "slow"],
        ["specification"],
        ["fused"],
        ["contextual", "inspection", "rules"],
        ["__init__"],
        ["checks"],
    ],
}
"""The rooms of each package, the lowest floor first. A room imports only rooms of lower floors."""

LONGEST = 400
LONG_FILES: dict[str, str] = {
    "flows/steps/learn.py": "the one step that holds the model: each kind of record, and how lists follow from it",
    "recmodels/base.py": "the contract of every model is one class",
    "recmodels/kernels/members/content.py": "one member: what it proposes, scores, learns and takes back",
}
"""Files of more lines than `LONGEST`, each with the reason why one concept takes so much."""

STATE_STEPS = [
    "freshrank.clean.hold_back.crowd.state",
    "freshrank.clean.ids.state",
    "freshrank.emit.lists.state",
    "freshrank.learn.model.state",
    "freshrank.refresh.due.state",
]
"""Step ids under which state is stored: a change of one is a change of the recovery format."""


def module_of(path: Path) -> str:
    """Return the dotted name of a source file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imports_of(body: list[ast.stmt]) -> Iterator[str]:
    """Return the modules that some statements import, those within functions too."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from {name if name in MODULES else node.module or "" for name in names}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    return frozenset(imports_of(parsed(path).body))


def importers(package: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for name in imports(path)
        if name == package or name.startswith(f"{package}.")
    }


def room_of(module: str) -> str:
    """Return the room of a module: the folder in its package, or the file at the top of the package."""
    package, *rest = module.split(".")
    return f"{package}.{rest[0] if rest else '__init__'}"


def arrows() -> set[tuple[str, str]]:
    """Return who imports whom, by room."""
    pairs = {
        (room_of(module), room_of(name)) for module, path in MODULES.items() for name in imports(path) & MODULES.keys()
    }
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def test_rooms_import_only_rooms_of_lower_floors() -> None:
    floor = {
        f"{package}.{room}": number
        for package, floors in FLOORS.items()
        for number, rooms in enumerate(floors)
        for room in rooms
    }
    unknown = {room_of(module) for module in MODULES} - floor.keys() - {"flows.__init__"}
    assert not unknown, "a new room: put it on a floor of FLOORS"
    rising = {
        (importer, imported)
        for importer, imported in arrows()
        if importer.partition(".")[0] == imported.partition(".")[0] and floor[importer] <= floor[imported]
    }
    assert not rising


def test_recmodels_never_imports_flows() -> None:
    assert not {name for name in importers("flows") if name.startswith("recmodels/")}


def test_one_place_starts_the_engine() -> None:
    starts = {"bytewax.testing.run_main", "bytewax.run.cli_main", "bytewax.testing.cluster_main"}
    found = {str(path.relative_to(ROOT)) for path in SOURCES if imports(path) & starts or "run_main" in _names(path)}
    assert found == {"flows/engine.py"}


def _names(path: Path) -> set[str]:
    return {node.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Name)}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: (imports(path) & MODULES.keys()) - {module} for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()


def test_steps_never_import_the_evaluation_and_kafka_knows_no_settings() -> None:
    known_to = {room: {imported for importer, imported in arrows() if importer == room} for room, _ in arrows()}
    assert not known_to["flows.steps"] & {"flows.evaluation", "flows.settings"}
    assert known_to["flows.kafka"] <= {"flows.messages", "flows.errors"}


def test_the_front_door_of_flows_is_small() -> None:
    assert len([path for path in ROOT.glob("flows/*.py") if path.name != "__init__.py"]) <= 12


def test_no_test_imports_another_test() -> None:
    tests = [path for path in TESTS if path.name.startswith("test_") or path.parent.name == "support"]
    found = {(path.name, name) for path in tests for name in imports(path) if re.search(r"^tests\.(\w+\.)*test_", name)}
    assert not found


def test_recmodels_knows_nothing_of_the_engine_or_kafka() -> None:
    for package in ("bytewax", "confluent_kafka", "orjson", "msgspec", "pydantic", "typer", "rich"):
        assert not {name for name in importers(package) if name.startswith("recmodels/")}


def test_only_the_rooms_kafka_and_job_import_the_kafka_client() -> None:
    rooms = ("flows/kafka/", "flows/job/", "flows/formats/envelopes/schema_registry.py")  # the client's deserializers
    assert [name for name in sorted(importers("confluent_kafka")) if not name.startswith(rooms)] == []


def test_kernels_are_compiled_in_one_way() -> None:
    users = {name for name in importers("numba") if name.startswith("recmodels/")}
    files = ("compile", "delta_bytes", "disk_cache", "kernel_compiler", "lanes", "prefetch", "state_pointer")
    assert users == {f"recmodels/kernels/{name}.py" for name in files}


@pytest.mark.process
def test_keras_and_jax_are_imported_in_one_place_and_only_when_asked_for() -> None:
    assert importers("keras") == {"recmodels/deep/backend.py"}
    assert importers("jax") == {"recmodels/deep/backend.py", "recmodels/slow/training.py"}
    heavy = "sorted({name.partition('.')[0] for name in sys.modules} & {'keras', 'jax', 'tensorflow', 'torch'})"
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, flows.recommend, flows.commands.tune, recmodels.checks; print({heavy})"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


def test_files_are_short_by_habit() -> None:
    """Length is a symptom, not a rule: the typical file is short, and a long one has a reason."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in [*SOURCES, *TESTS]}
    assert median(lengths.values()) <= 150
    assert {name for name, length in lengths.items() if length > LONGEST} <= LONG_FILES.keys()


def built_steps() -> tuple[list[str], list[str]]:
    connections = Connections(
        source=TestingSource([]),
        decoder=JsonDecoder(),
        lists=TestingSink([]),
        dead_letters=TestingSink([]),
        dead_letter=lambda rejected: rejected,
        scores=TestingSink([]),
    )
    rendered = to_rendered(build_flow(Settings(refresh=60.0), connections))
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


@pytest.mark.process
def test_a_job_starts_without_what_few_models_need() -> None:
    heavy = [
        "river.drift",
        "river.reco",
        "river.linear_model",
        "river.preprocessing",
        "scipy.stats",
        "sqlalchemy",
        "jinja2",
        "altair",
    ]
    code = f"import sys, flows.replay; flows.replay.Settings(); print(sorted(set({heavy}) & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
