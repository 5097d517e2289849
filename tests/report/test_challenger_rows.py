"""The table of a report has a challenger, if there is one."""

from flows.evaluation.model_observer import ModelObserver
from flows.replay import replay
from flows.report.data import measured
from flows.report.summary import summary
from flows.sample import EVENTS
from flows.settings import Settings


def test_a_challenger_has_rows_of_its_own() -> None:
    results = []
    for challenger in ("covisitation", None):
        watch = ModelObserver()
        result = replay(EVENTS, Settings(model="popularity", challenger=challenger), limit=200, watch=watch)
        results.append(measured(result, watch))
    rows = {row.name: list(row.values) for row in summary(results)}
    assert rows["challenger"] == ["covisitation", "–"]
    difference, without = rows["its hit rate less the model's"]
    assert " to " in difference
    assert without == "–"
    assert "challenger" not in {row.name for row in summary(results[1:])}
