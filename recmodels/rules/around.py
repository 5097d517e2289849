"""The rules around a model, if there are any."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from recmodels.base import Recommender
from recmodels.rules.ruled import Ruled


def rules_of(model: Recommender) -> Ruled | None:
    """Return the rules around a model, or None if there are none."""
    inner: Any = model
    while inner is not None and not isinstance(inner, Ruled):
        inner = getattr(inner, "model", None)
    return inner


def load_arrays(model: Recommender, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Load a dump into a model, also a dump of a job that had rules into a model that has none."""
    if rules_of(model) is not None or not all(name.startswith("rules.") for name in arrays):
        model.load(arrays)
