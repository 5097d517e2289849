"""Shared by all tests: where the real logs are, and small logs to make."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import hypothesis
import pytest

pytest_plugins = [
    "tests.support.compare_fixtures",
    "tests.support.kafka_fixtures",
    "tests.support.kafka_jobs",
    "tests.support.serve_fixtures",
    "tests.support.shard_jobs",
    "tests.support.shop_connector",
]

collect_ignore = ["support"]

hypothesis.settings.register_profile("freshrank", hypothesis.settings(), deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("freshrank")

ROOT = Path(__file__).parent.parent


MARK_OF_FIXTURE = {"broker": "kafka", "real_log": "real_log"}
"""Markers of the tests that use a fixture."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the fixtures that it uses."""
    for item in items:
        for fixture in MARK_OF_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARK_OF_FIXTURE[fixture])
        if "in_every_process" in item.name:
            item.add_marker("process")  # a check of the contract
        if item.path.name == "notebook.md":
            item.add_marker("slow")  # the examples of a page cannot mark themselves


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own settings reaches a test."""
    for name in list(os.environ):
        if name.startswith("FRESHRANK_") and name not in ("FRESHRANK_TEST_BOOTSTRAP", "FRESHRANK_DATA"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FRESHRANK_CONFIG", str(ROOT / "no-such.toml"))


@pytest.fixture
def real_log() -> Callable[[str], Path]:
    """Find a real log by its name. Where it is missing the test is skipped. On a CI machine it fails."""

    def find(name: str) -> Path:
        path = Path(os.environ.get("FRESHRANK_DATA", ROOT.parent / "shared" / "data")) / name / "events.csv.gz"
        if not path.exists():
            missing = f"{path}: expected a log; there is none. Set FRESHRANK_DATA to the folder that holds {name}."
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        return path

    return find


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Write lines as `events.jsonl`."""

    def write(lines: Iterable[str]) -> Path:
        path = tmp_path / "events.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write
