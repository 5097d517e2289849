"""Models taught a few pairs: shared by the tests of models."""

from collections.abc import Iterable

from recmodels import Example
from recmodels.fused.model import FusedModel


def teach(model: FusedModel, pairs: Iterable[tuple[str, str]], start: float = 0.0) -> None:
    model.step_many([Example(user, item, 1.0, start + n) for n, (user, item) in enumerate(pairs)], n=0)


def listed(model: FusedModel, user: str, n: int = 10) -> list[str]:
    return [item for item, _ in model.top(user, n)]
