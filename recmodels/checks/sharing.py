"""Checks of sharing: what a model learns of items reaches the same model in other processes, once."""

from recmodels.checks.events import Factory, catalogue_of, learn, some_events

EVENTS = some_events()


def check_deltas_teach_other_models(make: Factory) -> None:
    """A model that applies a delta knows the items of it. One that cannot share says why, and refuses."""
    ours, theirs = make(), make()
    if theirs.unshared:
        for ask in (theirs.enable_deltas, theirs.take_delta, lambda: theirs.apply_delta(b"")):
            try:
                ask()
            except ValueError:
                continue
            raise AssertionError(f"expected ValueError, as {theirs.unshared}")
        return
    for model in (ours, theirs):
        model.enable_deltas()
    learn(theirs, EVENTS)
    ours.apply_delta(theirs.take_delta())
    missing = [item for item in catalogue_of(EVENTS) if not ours.knows(item)]
    assert not missing, f"expected the items of the delta to be known; these are not: {missing}"
    assert ours.top("stranger", 5), "expected a list for a stranger after a delta; got none"


def check_deltas_are_taken_once(make: Factory) -> None:
    """A delta has what was learned since the last one. What came from other models is not passed on."""
    ours, theirs = make(), make()
    if theirs.unshared:
        return
    for model in (ours, theirs):
        model.enable_deltas()
    learn(theirs, EVENTS)
    delta = theirs.take_delta()
    assert delta, "expected a delta after events; got nothing"
    again = theirs.take_delta()
    assert not again, f"expected nothing new; got {len(again)} bytes"
    assert ours.apply_delta(delta) > 0, "expected interactions in the delta; got none"
    passed_on = ours.take_delta()
    assert not passed_on, f"expected nothing of other models in a delta; got {len(passed_on)} bytes"
