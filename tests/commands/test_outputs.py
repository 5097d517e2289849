"""Outputs of the commands: no output overwrites an input or another output, and data is shown as it is."""

import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from flows.commands.plain_text import plain
from flows.errors import UsageError
from flows.files.distinct_files import expect_distinct_files
from flows.files.sinks import OutputFileError
from flows.files.titles import read_titles
from flows.replay import replay
from flows.settings import Settings
from tests.support.cli import freshrank

MODEL = "river:reco.Baseline"  # no kernels


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    lines = [
        orjson.dumps({"user": f"u{n % 5}", "item": f"i{n % 7}", "timestamp": 1_700_000_000 + n}) for n in range(40)
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def same(path: Path) -> Path:
    return path


def by_symlink(path: Path) -> Path:
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    return link


def by_hard_link(path: Path) -> Path:
    link = path.with_name("hard.jsonl")
    link.hardlink_to(path)
    return link


def by_detour(path: Path) -> Path:
    return path.parent / ".." / path.parent.name / path.name


@pytest.mark.parametrize("way", [same, by_symlink, by_hard_link, by_detour])
@pytest.mark.parametrize("option", ["--out", "--rejects", "--report", "--html"])
def test_replay_never_writes_to_its_log(log: Path, option: str, way: Callable[[Path], Path]) -> None:
    before = log.read_bytes()
    done = freshrank("replay", log, "--model", MODEL, option, way(log))
    assert done.returncode == 2
    assert f"freshrank: {option} " in done.stderr
    assert "the log is the same file, which would be destroyed. Name another." in done.stderr
    assert log.read_bytes() == before


def test_a_pattern_that_matches_the_output_is_refused(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists.jsonl"
    out.write_text("{}\n")
    done = freshrank("replay", tmp_path / "l*.jsonl", "--model", MODEL, "--out", out)
    assert done.returncode == 2
    assert out.read_text() == "{}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "--model", MODEL, "--model", "popularity", "--json"],
        ["compare", "--model", MODEL, "--model", "popularity", "--html"],
        ["tune", "--space", "SPACE", "--out"],
        ["tune", "--space", "SPACE", "--study"],
    ],
)
def test_compare_and_tune_never_write_to_their_log(log: Path, tmp_path: Path, command: list[str]) -> None:
    space = tmp_path / "space.toml"
    space.write_text('[model]\nname = "popularity"\nhalf_life = [100.0, 300.0]\n')
    before = log.read_bytes()
    name, *options = [str(space) if word == "SPACE" else word for word in command]
    done = freshrank(name, log, *options, log)
    assert done.returncode == 2
    assert "which would be destroyed" in done.stderr
    assert log.read_bytes() == before


@pytest.mark.parametrize("exists", [True, False])
def test_two_outputs_are_two_files(log: Path, tmp_path: Path, exists: bool) -> None:
    both = tmp_path / "both"
    if exists:
        both.write_text("kept")
    done = freshrank("replay", log, "--model", MODEL, "--out", both, "--report", tmp_path / "." / "both")
    assert done.returncode == 2
    assert "--out writes the same file" in done.stderr
    assert not exists or both.read_text() == "kept"


@pytest.mark.parametrize("option", ["--items", "--config"])
def test_outputs_never_overwrite_titles_or_settings(log: Path, tmp_path: Path, option: str) -> None:
    other = tmp_path / "other"
    other.write_text("item,title\n" if option == "--items" else "top = 5\n")
    done = freshrank("replay", log, "--model", MODEL, option, other, "--report", other)
    assert done.returncode == 2
    assert f"{option} is the same file" in done.stderr
    assert "t" in other.read_text()


def test_replay_function_refuses_an_output_that_is_an_input(log: Path) -> None:
    with pytest.raises(OutputFileError, match="which would be destroyed"):
        replay(log, Settings(model=MODEL), out=log)


def test_a_device_may_be_named_twice() -> None:
    expect_distinct_files([("the log", os.devnull)], [("--report", os.devnull), ("--html", os.devnull)])


NASTY = ["[/u]", "ann[bold]", "\x1b[2Jbob", "tab\tnew\nline", "back\\", "\u202efdp.exe", "[link=http://x]y"]


def test_ids_are_shown_as_they_are_and_the_report_is_there(tmp_path: Path) -> None:
    path, items, report = tmp_path / "[red]log.jsonl", tmp_path / "items.csv", tmp_path / "report.json"
    lines = [orjson.dumps({"user": each, "item": f"{each}!", "timestamp": 1e9 + n}) for n, each in enumerate(NASTY)]
    path.write_bytes(b"\n".join(lines))
    items.write_text("item,title\n[/u]!,A [/bold] title\n")
    for user in NASTY:
        done = freshrank("replay", path, "--model", MODEL, "--items", items, "--report", report, "--explain", user)
        assert done.returncode == 0, done.stderr
        assert orjson.loads(report.read_bytes())["log"]["events"] == len(NASTY)
        assert "\x1b[2J" not in done.stderr
        assert "\u202e" not in done.stderr
        assert f"user {plain(user)}" in done.stderr
        assert "[red]log.jsonl" in done.stderr


class TestTitles:
    @pytest.mark.parametrize(
        "data",
        [
            "\ufeffitem,title\ni1,Tea\ni2\ni3,\"Jam, red\"\n".encode(),
            b"title;item\r\nTea;i1\r\n;i2\r\nJam, red;i3\r\n",
            "item\ttitle\ni1\tTea\ni2\ni3\tJam, red\n".encode("utf-16"),
        ],
    )  # fmt: skip
    def test_titles_are_read_in_every_dialect(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "items.csv"
        path.write_bytes(data)
        assert read_titles(path) == {"i1": "Tea", "i3": "Jam, red"}

    def test_a_file_without_titles_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "items.csv"
        path.write_text("id,name\n1,Tea\n")
        with pytest.raises(UsageError, match="expected a CSV header with item and title; found 'id,name'"):
            read_titles(path)
