"""River's conventions for estimators: arguments, clones, representation."""

import inspect

from river.reco.base import Ranker

from recmodels.checks.equality import expect_same_state
from recmodels.checks.events import Factory, learned, some_events, steps_of

EVENTS = some_events()


def check_model_is_a_river_ranker(make: Factory) -> None:
    """Whatever of River takes a ranker takes the model."""
    assert isinstance(make(), Ranker), f"expected a subclass of river.reco.base.Ranker; got {type(make()).__mro__}"


def check_arguments_are_attributes(make: Factory) -> None:
    """Every argument is remembered under its own name, as `get_params` and `clone` need it."""
    model = make()
    params = model._get_params()
    for name in inspect.signature(type(model)).parameters:
        assert name in params, f"get_params lacks {name}"
        assert hasattr(model, name), f"there is no attribute {name}"
    kept = make(repeats="exclude").repeats
    assert kept == "exclude", f"expected the attribute repeats to be 'exclude', as given; got {kept!r}"


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
    assert repr(model).startswith(type(model).__name__), f"expected the class's name first; got {model!r}"
    assert 'repeats="exclude"' in repr(model), f"expected the argument repeats; got {model!r}"
    again = make(repeats="exclude")
    assert repr(model) == repr(again), f"expected the same text for equal models; got {model!r} and {again!r}"


def check_clone_has_the_arguments_and_no_state(make: Factory) -> None:
    """A clone of a model that has learned is a fresh model with the same arguments."""
    model = learned(make, EVENTS, repeats="exclude")
    clone = model.clone()
    assert type(clone) is type(model), f"expected a clone of the same class; got {type(clone)}"
    assert repr(clone) == repr(model), f"expected a clone with the same arguments; got {clone!r} of {model!r}"
    assert repr(model) == repr(make(repeats="exclude")), f"expected learning to change no argument; got {model!r}"
    fresh = make(repeats="exclude")
    listed = clone.top("u1", 10)
    assert listed == [], f"expected a clone that has learned nothing, and so an empty list; got {listed}"
    expect_same_state(clone, fresh)
    assert steps_of(clone, EVENTS) == steps_of(fresh, EVENTS), "the clone learns otherwise"


def check_version_is_a_word(make: Factory) -> None:
    """The version names the model on the wire: no blanks, and the same before and after learning."""
    before, after = make().version, learned(make, EVENTS[:5]).version
    assert before == after, f"expected one version before and after learning; got {before!r} and {after!r}"
    assert before.split() == [before], f"expected a version without blanks; got {before!r}"
