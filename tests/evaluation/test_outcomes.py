"""Outcomes of scored events, counted by hand on a log of nine lines."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from flows.replay import replay
from flows.settings import Settings

Write = Callable[[Iterable[str]], Path]

LOG = (
    '{"user": "ann", "item": "tea", "timestamp": 1}',  # 0: stranger, new item
    '{"user": "bob", "item": "tea", "timestamp": 2}',  # 1: the one item there is, and so the list
    '{"user": "bob", "item": "tea", "timestamp": 3, "event": "return"}',  # 2: learned, not scored
    '{"kind": "item", "item": "tea", "timestamp": 3, "features": {"title": "Tea"}}',  # no interaction: no number
    "not JSON",
    '{"user": "ann", "item": "jam", "timestamp": 4}',  # 3: a new item
    '{"user": "bob", "item": "jam", "timestamp": 5}',  # 4: fresh knows jam; the list bob holds does not
    '{"kind": "forget", "user": "bob", "timestamp": 6}',
    '{"user": "bob", "item": "tea", "timestamp": 7}',  # 5: a stranger again, who holds no list
)


def test_each_scored_event_has_its_row(write_log: Write) -> None:
    result = replay(write_log(LOG), Settings(model="popularity"))
    found = result.outcomes.arrays()
    assert found["number"].tolist() == [0, 1, 3, 4, 5]
    assert found["time"].tolist() == [1.0, 2.0, 4.0, 5.0, 7.0]
    assert (found["position"] >= 0).tolist() == [False, True, False, True, True]
    assert found["served"].tolist() == [-1, -1, -1, -1, -1]
    assert found["user_events"].tolist() == [0, 0, 1, 2, 0]
    assert found["item_events"].tolist() == [0, 1, 0, 1, 3]
    assert (result.users, result.items) == (3, 2)  # a user who comes back after an erasure is a new one


def test_served_is_where_it_stood_in_the_list_that_went_out(write_log: Write) -> None:
    events = [("ann", "tea"), ("bob", "tea"), ("bob", "tea")]
    lines = [f'{{"user": "{user}", "item": "{item}", "timestamp": {t}}}' for t, (user, item) in enumerate(events)]
    assert replay(write_log(lines), Settings()).outcomes.arrays()["served"].tolist() == [-1, -1, 0]


def test_the_rows_agree_with_the_metrics_and_have_their_types(write_log: Write) -> None:
    random = np.random.default_rng(1)
    pairs = random.zipf(1.5, (2_000, 2)) % 50
    lines = [f'{{"user": "u{u}", "item": "i{i}", "timestamp": {t}}}' for t, (u, i) in enumerate(pairs.tolist())]
    result = replay(write_log(lines), Settings(model="popularity"))
    found = result.outcomes.arrays()
    assert [(name, str(column.dtype)) for name, column in found.items()] == [
        ("number", "int64"),
        ("time", "float64"),
        ("position", "int32"),
        ("served", "int32"),
        ("any_age", "int32"),
        ("user_events", "int32"),
        ("item_events", "int32"),
        ("item_digest", "uint32"),
    ]
    items = np.array([f"i{item}" for item in pairs[:, 1].tolist()])
    for item in np.unique(items):
        assert len(np.unique(found["item_digest"][items == item])) == 1
    assert len(np.unique(found["item_digest"])) == len(np.unique(items))
    assert len(result.outcomes) == 2_000
    assert np.mean(found["position"] >= 0) == result.hit_rate
    assert np.mean(found["served"] >= 0) == result.served_hit_rate
