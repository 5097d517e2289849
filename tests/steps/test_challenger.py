"""A challenger beside the champion: it learns and is scored, and changes nothing of what is sent."""

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest
from typing_extensions import override

from flows.evaluation.protocol import Protocol
from flows.messages import Interaction, Prepared
from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.replay import ReplayResult, replay
from flows.sample import EVENTS
from flows.settings import Settings
from flows.state.recovery import Recovery
from flows.state.roles import Roles
from flows.state.store import MOST_SNAPSHOTS, Store
from flows.steps.challenger import GOLDEN, WORD
from flows.steps.learn import Learner
from recmodels import Popularity
from recmodels.base import Context, Example, Recommender
from tests.support.flow import Flow, sample_records

HERE = "tests.steps.test_challenger"


class Failing(Recommender):
    """Raises at the thousandth event."""

    learned = 0

    @override
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        self.learned += 1
        if self.learned == 1_000:
            raise KeyError("price")

    @override
    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return 0.0


class Silent(Recommender):
    """Lists nothing."""

    @override
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        pass

    @override
    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return 0.0


class Unstorable(Popularity):
    """Cannot be dumped."""

    @override
    def dump_changes(self) -> dict[str, Any]:
        raise TypeError("cannot pickle a lambda")


def run(count: int = 2_000, protocol: Protocol | None = None, **settings: Any) -> ReplayResult:
    return replay(EVENTS, Settings(repeats="exclude", **settings), limit=count, protocol=protocol)


@pytest.mark.slow
@pytest.mark.parametrize(
    "protocol",
    [
        None,
        Protocol(positive="value>=4", warmup=0.2, ks=(5, 10)),
        Protocol(target="session", ks=(10,)),
        Protocol(candidates="catalogue", score_every=7),
    ],
)
@pytest.mark.parametrize(
    ("model", "challenger"), [("popularity", "covisitation"), ("popularity", "river:reco.Baseline")]
)
def test_each_model_is_scored_as_in_a_replay_of_its_own(model: str, challenger: str, protocol: Protocol | None) -> None:
    count = 250 if "river" in challenger else 800
    both = run(count, protocol, model=model, challenger=challenger).challenge
    assert both is not None
    alone = [run(count, protocol, model=each) for each in (model, challenger)]
    assert [both.hits.champion_hit_rate, both.hits.challenger_hit_rate] == [each.hit_rate for each in alone]
    assert both.hits.scored == len(alone[0].outcomes)
    assert both.learned == count


def test_the_challenger_lists_under_the_same_rules() -> None:
    both = run(400, model="popularity", challenger="covisitation", diversity=0.5).challenge
    assert both is not None
    alone = run(400, model="covisitation", diversity=0.5).hit_rate
    assert both.hits.challenger_hit_rate == alone != run(400, model="covisitation").hit_rate


@pytest.mark.slow
@pytest.mark.parametrize("model", ["popularity", "river:reco.Baseline"])
@pytest.mark.parametrize("challenger", ["covisitation", f"{HERE}:Failing"])
def test_lists_are_those_of_a_job_without_a_challenger(model: str, challenger: str) -> None:
    records = sample_records(1_100)
    alone = Flow(records, model=model)
    beside = Flow(records, model=model, challenger=challenger, challenger_share=0.5)
    assert beside.everything == alone.everything


def test_a_share_is_scored_and_all_is_learned() -> None:
    every, some = (
        run(1_500, model="popularity", challenger="covisitation", challenger_share=share).challenge
        for share in (1.0, 0.1)
    )
    assert every is not None
    assert some is not None
    assert (every.learned, some.learned, every.hits.scored) == (1_500, 1_500, 1_500)
    assert 148 <= some.hits.scored <= 152
    assert some.hits.challenger_hit_rate == pytest.approx(every.hits.challenger_hit_rate, abs=0.06)


@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_lots_change_nothing_of_what_is_measured(batch: int) -> None:
    """Item events and erasures come between, each for both models at the same event."""
    records = [
        record
        for number, each in enumerate(sample_records(600))
        for record in (
            each,
            *([b'{"kind":"item","item":"i%d","timestamp":0,"available":false}' % number] if number % 50 == 7 else []),
            *([b'{"kind":"forget","user":"1","timestamp":0}'] if number % 90 == 8 else []),
        )
    ]
    flow = Flow(records, batch=batch, model="popularity", challenger="covisitation", challenger_share=0.5)
    flow.connections.challenge.finish()
    hits = flow.connections.challenge.hits
    assert (flow.connections.challenge.learned, hits.scored) == (600, 300)
    alone = Flow(records, batch=1, model="covisitation").decided
    positions = [each.ranked.position for each in alone if isinstance(each.ranked.event, Interaction)]
    drawn = [number * GOLDEN % WORD < WORD // 2 for number in range(600)]
    expected = [place is not None and place >= 0 for place, is_drawn in zip(positions, drawn, strict=True) if is_drawn]
    assert hits.challenger_hits == sum(expected)


def test_equal_models_never_differ() -> None:
    both = run(model="popularity", challenger="popularity").challenge
    assert both is not None
    assert (both.hits.wins, both.hits.losses, both.hits.interval().holds_zero) == (0, 0, True)


def test_a_challenger_that_raises_ends_alone_with_one_message(caplog: pytest.LogCaptureFixture) -> None:
    result = run(model="popularity", challenger=f"{HERE}:Failing")
    assert result.challenge is not None
    assert result.counters.learned == 2_000
    assert result.challenge.learned < 1_000
    [message] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "test_challenger.py" in message
    assert "KeyError: 'price'" in message
    assert "the champion goes on" in message
    assert result.report()["challenger"]["failure"] == result.challenge.failure


def test_a_challenger_without_lists_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    result = run(model="popularity", challenger=f"{HERE}:Silent")
    assert result.challenge is not None
    assert result.challenge.hits.challenger_hits == 0
    [message] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "expected lists with items" in message
    assert "the champion goes on" in message


def test_a_challenger_that_cannot_be_stored_ends_alone(tmp_path: Path) -> None:
    result = run(500, model="popularity", challenger=f"{HERE}:Unstorable", recovery=tmp_path)
    assert result.challenge is not None
    assert "cannot pickle a lambda" in str(result.challenge.failure)
    assert result.counters.learned == 500


def test_an_unknown_challenger_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"challenger\n.*there is no model .blendd."):
        Settings(challenger="blendd")


def prepared(number: int) -> Prepared:
    event = Interaction(f"u{number * 7 % 23}", f"i{number * number % 17}", float(number))
    return Prepared(event, Example(event.user, event.item, 1.0, event.timestamp))


def learner(model: str, challenger: str | None, roles: Roles) -> tuple[Learner, Challenge]:
    settings, challenge = Settings(model=model, challenger=challenger, top=5), Challenge()
    return Learner(settings.learning(challenging=settings.challenging(challenge), roles=roles), Counters()), challenge


SMALL = "(max_users=64, max_items=64)"
FIRST, SECOND = f"popularity{SMALL}", f"covisitation{SMALL}"


def lists_of(model: Recommender) -> list[Any]:
    return [model.top(f"u{number}", 5, {"timestamp": 1e4}) for number in range(23)]


@pytest.mark.slow
def test_state_of_both_survives_stops_and_swapped_roles(tmp_path: Path) -> None:
    whole, measured = learner(FIRST, SECOND, Roles())
    roles, pointer, names = Roles(), None, (FIRST, SECOND)
    store = Store(tmp_path)
    live, challenge = learner(*names, roles)
    store.load(live, None)
    for number in range(3 * MOST_SNAPSHOTS):
        batch = [prepared(event) for event in range(10 * number, 10 * number + 10)]
        whole.process(batch)
        live.process(batch)
        pointer = store.save(live)
        if number % 30 == 29 or number in (MOST_SNAPSHOTS, MOST_SNAPSHOTS + 1):
            if number > MOST_SNAPSHOTS:
                roles, names = roles.swapped(), (names[1], names[0])
            store, (live, challenge) = Store(tmp_path), learner(*names, roles)
            store.load(live, pointer)
            assert live.challenger is not None
            assert whole.challenger is not None
            whole.challenger.settle()
            models = [live.model, live.challenger._model]
            assert [lists_of(each) for each in models[:: 1 if names[0] == FIRST else -1]] == [
                lists_of(whole.model),
                lists_of(whole.challenger._model),
            ]
        if number == MOST_SNAPSHOTS:
            measured.finish()
            assert challenge.hits.numbers() == measured.hits.numbers()
            assert challenge.learned == measured.learned == 10 * number + 10


def test_a_new_challenger_learns_from_now_on_and_the_champion_stays(tmp_path: Path) -> None:
    store, (live, _) = Store(tmp_path), learner(FIRST, SECOND, Roles())
    store.load(live, None)
    live.process([prepared(number) for number in range(100)])
    pointer = store.save(live)
    before = lists_of(live.model)
    for challenger, roles in ((None, Roles()), (SECOND, Roles(0, 2, 2)), ("history", Roles(0, 3, 3))):
        store, (live, challenge) = Store(tmp_path), learner(FIRST, challenger, roles)
        store.load(live, pointer)
        assert lists_of(live.model) == before
        assert challenge.learned == 0
        live.process([prepared(number) for number in range(100, 200)])


def test_a_challenger_that_failed_begins_anew(tmp_path: Path) -> None:
    store, (live, challenge) = Store(tmp_path), learner(FIRST, f"{HERE}:Failing", Roles())
    store.load(live, None)
    for number in range(120):
        live.process([prepared(event) for event in range(10 * number, 10 * number + 10)])
        pointer = store.save(live)
    assert challenge.has_failed
    for learned in (0, 10, 20):
        store, (live, challenge) = Store(tmp_path), learner(FIRST, f"{HERE}:Failing", Roles())
        store.load(live, pointer)
        assert (challenge.learned, challenge.has_failed) == (learned, False)
        live.process([prepared(event) for event in range(10)])
        pointer = store.save(live)


def test_a_challenger_whose_state_does_not_fit_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, (live, _) = Store(tmp_path), learner(FIRST, SECOND, Roles())
    store.load(live, None)
    pointer = None
    for number in range(5):
        live.process([prepared(event) for event in range(10 * number, 10 * number + 10)])
        pointer = store.save(live)
    for learned in (0, 10):
        store, (live, challenge) = Store(tmp_path), learner(FIRST, f"{HERE}:Silent", Roles())
        store.load(live, pointer)
        assert challenge.learned == learned
        live.process([prepared(event) for event in range(10)])
        pointer = store.save(live)
    assert caplog.text.count("begins anew") == 2


def test_recovery_directory_gives_each_challenger_numbers_of_its_own(tmp_path: Path) -> None:
    found = []
    for challenger in (None, "history", "history", None, "history", "content"):
        recovery = Recovery(tmp_path, {"model": "blend"}, challenger=challenger)
        recovery.close()
        found.append((recovery.roles.challenger, orjson.loads((tmp_path / "job.json").read_bytes()).get("challenger")))
    assert found == [(1, None), (1, "history"), (1, "history"), (1, None), (2, "history"), (3, "content")]
