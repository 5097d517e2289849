"""River's conventions for estimators: arguments, clones, representation."""

import inspect

from river.reco.base import Ranker

from recmodels.checks.equality import expect_same_state
from recmodels.checks.events import Factory, learned, some_events, steps_of

EVENTS = some_events()


def check_model_is_a_river_ranker(make: Factory) -> None:
    """Whatever of River takes a ranker takes the model."""
    assert isinstance(make(), Ranker)


def check_arguments_are_attributes(make: Factory) -> None:
    """Every argument is remembered under its own name, as `get_params` and `clone` need it."""
    model = make()
    params = model._get_params()
    for name in inspect.signature(type(model)).parameters:
        assert name in params, f"get_params lacks {name}"
        assert hasattr(model, name), f"there is no attribute {name}"
    assert make(repeats="exclude").repeats == "exclude"


def check_defaults_are_immutable(make: Factory) -> None:
    """No two models share a default that one of them could change."""
    for name, parameter in inspect.signature(type(make())).parameters.items():
        default = parameter.default
        assert default is inspect.Parameter.empty or default.__hash__ is not None, f"the default of {name} can change"


def check_wrong_repeats_are_refused(make: Factory) -> None:
    """A `repeats` that is neither "allow" nor "exclude" raises ValueError, with what came."""
    said = "nothing"
    try:
        make(repeats="sometimes")
    except ValueError as error:
        said = str(error)
    assert "sometimes" in said, f"expected a ValueError that says what came; got {said}"


def check_repr_names_the_arguments(make: Factory) -> None:
    """`repr` says the class and its arguments, and the same for equal models."""
    model = make(repeats="exclude")
    assert repr(model).startswith(type(model).__name__)
    assert 'repeats="exclude"' in repr(model)
    assert repr(model) == repr(make(repeats="exclude"))


def check_clone_has_the_arguments_and_no_state(make: Factory) -> None:
    """A clone of a model that has learned is a fresh model with the same arguments."""
    model = learned(make, EVENTS, repeats="exclude")
    clone = model.clone()
    assert type(clone) is type(model)
    assert repr(clone) == repr(model) == repr(make(repeats="exclude"))
    fresh = make(repeats="exclude")
    assert clone.top("u1", 10) == []
    expect_same_state(clone, fresh)
    assert steps_of(clone, EVENTS) == steps_of(fresh, EVENTS), "the clone learns otherwise"


def check_version_is_a_word(make: Factory) -> None:
    """The version names the model on the wire: no blanks, and the same before and after learning."""
    assert make().version == learned(make, EVENTS[:5]).version
    assert make().version.split() == [make().version]
