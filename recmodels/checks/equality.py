"""Whether two models remember the same."""

import pickle
from typing import Any

import numpy as np

from recmodels.base import Recommender


def expect_same_state(a: Recommender, b: Recommender) -> None:
    """Raise AssertionError unless the dumps of two models say the same."""
    expect_same_record(a.dump(), b.dump())


def expect_same_record(a: Any, b: Any) -> None:
    """Raise AssertionError unless two dumps say the same."""
    assert a.keys() == b.keys(), f"expected the same arrays; got {sorted(a.keys() ^ b.keys())} in one only"
    for name in a:
        if (
            name.rpartition(".")[2] == "pickle"
        ):  # which string is which object shows in a pickle's bytes, and means nothing
            _expect_same_attributes(pickle.loads(a[name].tobytes()), pickle.loads(b[name].tobytes()))
        else:
            assert is_same(a[name], b[name]), f"expected the same arrays; {name} differ"


def _expect_same_attributes(a: Any, b: Any) -> None:
    if isinstance(a, dict) and isinstance(b, dict):
        missing = object()
        other = [name for name in {**a, **b} if not is_same(a.get(name, missing), b.get(name, missing))]
        assert not other, f"expected the same attributes; these differ: {', '.join(map(str, other))}"
    assert is_same(a, b), "expected the same attributes; their order differs"


def is_same(a: Any, b: Any) -> bool:
    """Return whether two values are deeply equal. The order of a dict counts, and NaN equals NaN."""
    return _is_same(a, b, {})


def _is_same(a: Any, b: Any, compared: dict[tuple[int, int], tuple[Any, Any]]) -> bool:
    if a is b or (id(a), id(b)) in compared:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, float):
        return bool(a == b or (a != a and b != b))
    if a is None or isinstance(a, int | str | bytes | set | frozenset):
        return bool(a == b)
    compared[id(a), id(b)] = a, b  # and so kept: the id of what is gone is given out again
    if isinstance(a, dict):
        return _is_same(list(a.items()), list(b.items()), compared)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(_is_same(x, y, compared) for x, y in zip(a, b, strict=True))
    return _is_same(_parts(a), _parts(b), compared)


def _parts(value: Any) -> Any:
    parts = value.__reduce_ex__(4)
    return parts if isinstance(parts, str) else [list(part) if hasattr(part, "__next__") else part for part in parts]
