"""A challenger that users see: split by users or interleaved, and judged by clicks."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from typing_extensions import override

from flows.messages import Decided, Interaction, Prepared, Ranked
from flows.monitoring.attribution import Attribution
from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from flows.state.roles import Roles
from flows.steps.attribute import Attributor
from flows.steps.exposure import Exposure, team_draft
from flows.steps.learn import Learner
from recmodels import Popularity
from recmodels.base import Context, Example
from recmodels.evaluation.confidence_sequence import ConfidenceSequence
from tests.support.flow import Flow, event, sample_records

HERE = "tests.steps.test_exposure"
SHOWN = {"challenger_users": 0.5, "attribution_window": 86_400.0, "fallback": False}


class Backwards(Popularity):
    """Lists the least popular items first."""

    @override
    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        return [(item, -score) for item, score in reversed(super().top(user, 1_000, x))][:n]

    @override
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        steps = super().step_many(examples, n, score)
        lists = [[item for item, _ in self.top(example.user, n)] for example in examples]
        return [step._replace(items=items) for items, step in zip(lists, steps, strict=True)]


class Failing(Popularity):
    """Raises once an item is learned."""

    @override
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        if any(example.item == "i13" for example in examples):
            raise KeyError("i13")
        return super().step_many(examples, n, score)


def scored(items: str) -> tuple[list[str], list[float]]:
    return list(items), [1.0 / place for place in range(1, len(items) + 1)]


@pytest.mark.parametrize(
    ("champion", "challenger"), [("abcdefgh", "hgfedcba"), ("abcd", "efgh"), ("ab", "wxyz"), ("", "ab")]
)
def test_teams_pick_in_turn_and_each_item_is_there_once(champion: str, challenger: str) -> None:
    for coins in range(256):
        drafted = team_draft(scored(champion), scored(challenger), coins)
        items = list(drafted.items)
        assert len(items) == len(set(items)) == len(drafted.scores) == max(len(champion), len(challenger))
        assert drafted.of_challenger <= set(challenger)
        assert set(items) - drafted.of_challenger <= set(champion)
        for place in range(0, min(len(champion), len(challenger)) // 2 * 2, 2):
            assert len(drafted.of_challenger & set(items[place : place + 2])) == 1, "one each in every round"


def test_equal_lists_stay_as_they_are() -> None:
    firsts = 0
    for coins in range(256):
        drafted = team_draft(scored("abcdef"), scored("abcdef"), coins)
        assert drafted.items == list("abcdef")
        firsts += "a" in drafted.of_challenger
    assert firsts == 128


RELEVANCE = dict(zip("abcdefghijklmnop", 0.5 ** (np.arange(16) / 3), strict=True))
"""How likely a user takes an item at which the user looks."""
LOOKS = 0.8 ** np.arange(10)
"""How likely a user looks at a place: the position-based click model of Craswell and others, WSDM 2008."""
STREAMS, LISTS = 100, 800


def prefers(champion: str, challenger: str, seed: int) -> ConfidenceSequence:
    """Return the preference of simulated users for interleaved lists, with the number of lists that were looked at."""
    random, exposure = np.random.default_rng(seed), Exposure(share=1.0, mode="interleave", seed=seed)
    found, figures = ConfidenceSequence(-1.0, 1.0), Attribution()
    for number in range(LISTS):
        drafted = exposure.list_for("ann", number, scored(champion), scored(challenger))
        wanted = random.random(len(drafted.items)) < LOOKS * [RELEVANCE[item] for item in drafted.items]
        taken = {item for item, is_taken in zip(drafted.items, wanted, strict=True) if is_taken}
        of_challenger = len(taken & drafted.of_challenger)
        figures.prefer(len(taken) - of_challenger, of_challenger)
        found = figures.preference
        if number % 100 == 99 and not found.interval().holds_zero:
            return found
    return found


@pytest.mark.slow
def test_users_prefer_no_model_to_itself() -> None:
    told_apart = [not prefers("abcdefghij", "abcdefghij", seed).interval().holds_zero for seed in range(STREAMS)]
    assert np.mean(told_apart) <= 0.05


@pytest.mark.parametrize(
    ("champion", "challenger", "sign"), [("abcdefghij", "jihgfedcba", -1), ("efghijklmn", "abcdefghij", 1)]
)
def test_users_prefer_the_better_model(champion: str, challenger: str, sign: int) -> None:
    for seed in range(20):
        found = prefers(champion, challenger, seed).interval()
        assert not found.holds_zero
        assert np.sign(found.mean) == sign


def shop(model: str, challenger: str, mode: str, count: int, seed: int = 0) -> Attribution:
    """Run learner and attribution with users who take from their lists what they like, and return the figures."""
    settings = Settings(
        model=model,
        challenger=challenger,
        challenger_users=0.5,
        challenger_lists=mode,
        attribution_window=1e6,
        seed=seed,
    )
    random, figures, challenge = np.random.default_rng(seed), Attribution(), Challenge()
    learner = Learner(settings.learning(challenging=settings.challenging(challenge)), Counters())
    attributor = Attributor(settings.attributing(Roles()), figures)
    items, weights = list(RELEVANCE), np.array(list(RELEVANCE.values()))
    lists: dict[str, Ranked] = {}
    for number in range(count):
        user, chosen = f"u{random.integers(40)}", None
        if (listed := lists.get(user)) is not None and listed.items is not None:
            looked = zip(listed.items, LOOKS, strict=False)
            chosen = next((i for i, look in looked if random.random() < look * RELEVANCE[i]), None)
        item = str(random.choice(items, p=weights / weights.sum())) if chosen is None else chosen
        source = None if chosen is None or listed is None else listed.event.source
        happened = Interaction(user, item, float(number), "click", at=("events", 0, number), source_list=source)
        [ranked] = learner.process([Prepared(happened, Example(user, item, 1.0, float(number)))])
        assert isinstance(ranked, Ranked)
        lists[user] = ranked
        attributor.process([Decided(ranked, True)])
    attributor._forget(list(attributor._open))
    return figures


@pytest.mark.slow
def test_a_worse_challenger_loses_by_clicks_and_an_equal_one_does_not() -> None:
    worse = shop("popularity", f"{HERE}:Backwards", "interleave", 4_000).preference.interval()
    equal = shop("popularity", "popularity", "interleave", 4_000).preference.interval()
    assert worse.high < 0.0
    assert equal.holds_zero


@pytest.mark.slow
def test_users_of_a_worse_challenger_find_less_in_their_lists() -> None:
    worse = shop("popularity", f"{HERE}:Backwards", "split", 4_000).difference("served_hit_rate")
    equal = shop("popularity", "popularity", "split", 4_000).difference("served_hit_rate")
    assert worse is not None
    assert equal is not None
    assert worse.high < 0.0
    assert equal.holds_zero


def test_chosen_users_get_the_lists_of_the_challenger_and_others_those_of_the_champion() -> None:
    records = sample_records(400)
    champion, challenger = (
        Flow(records, model=model, fallback=False).lists for model in ("popularity", "covisitation")
    )
    exposure = Exposure(share=0.5, mode="split")
    both = Flow(records, model="popularity", challenger="covisitation", challenger_lists="split", **SHOWN)
    chosen = 0
    for listed, of_champion, of_challenger in zip(both.lists, champion, challenger, strict=True):
        if exposure.is_chosen(listed["user"]):
            chosen += 1
            assert listed == {**of_challenger, "variant": "challenger"}
        else:
            assert listed == of_champion
    assert 0 < chosen < 400


@pytest.mark.slow
def test_interleaved_lists_depend_on_the_order_of_events_alone() -> None:
    records = [
        *sample_records(200),
        b'{"kind":"request","user":"405","timestamp":9e8,"request":"r1"}',
        *sample_records(250)[200:],
    ]
    settings = {"model": "popularity", "challenger": "covisitation", **SHOWN}
    flows = [Flow(records, batch=batch, **settings) for batch in (1, 7, 100)]
    assert flows[0].everything == flows[1].everything == flows[2].everything
    mixed = [listed for listed in flows[0].lists if "variant" in listed]
    assert {listed["model"] for listed in mixed} == {"popularity/1|covisitation/1"}
    assert 0 < len(mixed) < len(flows[0].lists)


def test_all_users_get_lists_of_the_champion_once_the_challenger_fails() -> None:
    records = [event(f"u{n % 7}", f"i{n}", float(n)) for n in range(40)]
    settings = {"model": "popularity", "challenger": f"{HERE}:Failing", **SHOWN, "challenger_users": 1.0}
    alone = Flow(records, model="popularity", fallback=False).lists
    beside = Flow(records, batch=1, **settings).lists
    assert all("variant" in listed for listed in beside[:13])
    assert beside[13:] == alone[13:]


@pytest.mark.slow
def test_figures_and_lists_survive_a_stop(tmp_path: Path) -> None:
    settings = {"model": "popularity", "challenger": "covisitation", "repeats": "exclude", **SHOWN}
    whole = replay(EVENTS, Settings(**settings), limit=900, out=tmp_path / "whole.jsonl")
    kept = Settings(**settings, recovery=tmp_path / "state", epoch_seconds=0.05)
    for limit in (100, 101, 500, 900):
        resumed = replay(EVENTS, kept, limit=limit, out=tmp_path / "lists.jsonl")
    assert whole.attribution is not None
    assert resumed.attribution is not None
    assert resumed.attribution.report() == whole.attribution.report()
    assert (tmp_path / "lists.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert orjson.loads((tmp_path / "whole.jsonl").read_bytes().splitlines()[-1])["items"]


def test_another_pair_of_models_is_compared_anew() -> None:
    figures = Attribution()
    figures.add("click_rate", True, ["own", "champion"])
    figures.prefer(1, 0)
    figures.begin_comparison()
    assert list(figures.rates) == [("click_rate", "all"), ("click_rate", "own")]
    assert (figures.preference.count, figures.losses) == (0, 0)


def test_a_challenger_that_users_see_needs_attribution() -> None:
    with pytest.raises(ValueError, match="expected challenger and attribution_window to be set, too"):
        Settings(challenger_users=0.1)
