"""Promotion: the challenger becomes the champion at a snapshot, and no event and no list is lost."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import typer.testing

from flows.cli import app
from flows.inspection.promotion import promote, rollback
from flows.inspection.stored_model import read_stored
from flows.replay import ReplayResult, replay
from flows.sample import EVENTS
from flows.settings import Settings
from flows.state.recovery import RecoveryError

FIRST, SECOND = "popularity", "covisitation"
STOP, END = 700, 1_400


class Job:
    """A job that is stopped and started, as replays of a log with a recovery directory."""

    def __init__(self, directory: Path, model: str = FIRST, challenger: str | None = SECOND) -> None:
        self.directory = directory / "state"
        self.out = directory / "lists.jsonl"
        self.settings: dict[str, Any] = {"model": model, "challenger": challenger}

    def run(self, limit: int) -> ReplayResult:
        settings = Settings(recovery=self.directory, repeats="exclude", fallback=False, **self.settings)
        return replay(EVENTS, settings, limit=limit, out=self.out)

    def lists(self) -> list[bytes]:
        return self.out.read_bytes().splitlines()


def alone(directory: Path, model: str) -> list[bytes]:
    """Return the lists of a job that had this one model all the time."""
    job = Job(directory / model, model, None)
    job.directory.parent.mkdir()
    job.run(END)
    return job.lists()


@pytest.mark.slow
def test_lists_are_those_of_the_first_model_and_then_those_of_the_second(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.run(STOP)
    done = promote(job.directory)
    assert (done.champion, done.challenger) == (SECOND, FIRST)
    assert "of the champion on 700 events" in done.sentence
    result = job.run(END)
    first, second = alone(tmp_path, FIRST), alone(tmp_path, SECOND)
    assert job.lists() == [*first[:STOP], *second[STOP:]]
    assert result.challenge is not None
    assert (result.challenge.model, result.challenge.learned, result.challenge.hits.scored) == (FIRST, STOP, END - STOP)


@pytest.mark.slow
@pytest.mark.parametrize("are_settings_changed", [True, False])
def test_a_rollback_goes_on_as_if_nothing_had_been_promoted(tmp_path: Path, are_settings_changed: bool) -> None:
    job = Job(tmp_path)
    job.run(300)
    promote(job.directory)
    if are_settings_changed:
        job.settings = {"model": SECOND, "challenger": FIRST}
    job.run(STOP)
    assert rollback(job.directory).champion == FIRST
    if are_settings_changed:
        job.settings = {"model": FIRST, "challenger": SECOND}
    job.run(END)
    first, second = alone(tmp_path, FIRST), alone(tmp_path, SECOND)
    assert job.lists() == [*first[:300], *second[300:STOP], *first[STOP:]]
    with pytest.raises(RecoveryError, match="expected a promotion"):
        rollback(job.directory)
    assert promote(job.directory).champion == SECOND


@pytest.mark.slow
def test_the_old_champion_may_leave_and_another_challenger_come(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.run(300)
    promote(job.directory)
    job.settings = {"model": SECOND, "challenger": "history"}
    result = job.run(STOP)
    assert result.challenge is not None
    assert result.challenge.learned == 400
    with pytest.raises(RecoveryError, match="expected a promotion"):
        rollback(job.directory)
    assert promote(job.directory).champion == "history"


def test_settings_that_name_another_model_are_refused_with_what_to_do(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.run(300)
    job.settings = {"model": SECOND, "challenger": None}
    with pytest.raises(RecoveryError, match="`freshrank promote` makes it the champion"):
        job.run(STOP)
    promote(job.directory)
    job.settings = {"model": FIRST, "challenger": None}
    with pytest.raises(RecoveryError, match="go back by `freshrank rollback`"):
        job.run(STOP)


def test_only_a_challenger_that_has_learned_is_promoted(tmp_path: Path) -> None:
    job = Job(tmp_path, challenger=None)
    job.run(100)
    with pytest.raises(RecoveryError, match="expected a challenger that has learned; there is none"):
        promote(job.directory)
    file = job.directory / "job.json"
    file.write_bytes(orjson.dumps({**orjson.loads(file.read_bytes()), "challenger": SECOND, "roles": [0, 1, 1]}))
    with pytest.raises(RecoveryError, match="covisitation has learned nothing, or has failed"):
        promote(job.directory)


@pytest.mark.slow
def test_models_of_one_specification_can_change_places(tmp_path: Path) -> None:
    job = Job(tmp_path, FIRST, FIRST)
    job.run(300)
    promote(job.directory)
    job.run(STOP)
    rollback(job.directory)
    job.run(END)
    assert job.lists() == alone(tmp_path, FIRST)


def test_the_commands_say_what_they_do(tmp_path: Path) -> None:
    job = Job(tmp_path)
    job.run(300)
    run = typer.testing.CliRunner().invoke
    dry = run(app, ["promote", "--state", str(job.directory), "--dry-run"])
    assert "covisitation would be the champion now, and popularity the challenger." in dry.output
    assert read_stored(job.directory).job["model"] == FIRST
    done = run(app, ["promote", "--state", str(job.directory)])
    assert 'model = "covisitation"\nchallenger = "popularity"\n' in done.output
    assert read_stored(job.directory).job["model"] == SECOND
    assert read_stored(job.directory).model.version == "covisitation/1"
    back = run(app, ["rollback", "--state", str(job.directory)])
    assert "popularity is the champion now, and covisitation the challenger." in back.output
