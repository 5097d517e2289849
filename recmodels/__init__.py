"""Online models that recommend: plain learning, without streams, clocks, files or environment.

Every model is a River estimator with one contract (`base.Recommender`):

- `learn_one(user, item, y, x)` learns one interaction.
- `predict_one(user, item, x)` scores an item, and `rank(user, items, x)` orders items.
- `top(user, n, x)` finds the user's list.
- `learn_item(item, x, available)` learns an item event, and `forget_one(user)` erases a user.
- `step_many(examples, n)` processes a micro-batch in order: rank, learn, make the new list.

Reads never write. Ties keep the first-seen order. Arguments bound the memory.

`Blend` is the default. Its members run in compiled kernels (`kernels`) over tables of arrays (`fused.memory`). Each
member alone is a model, too: `Popularity`, `CoVisitation`, `History`, `Factorization` and `Content`. Models of any
other kind can be external members (`fused.external_members`). `RiverModel` runs River's own models, `specification`
makes a model from a line of text, and `checks` verifies the contract of every model.

`Contextual` and `RiverModel` are imported when they are first used: River's estimators take a second to import.
"""

from typing import TYPE_CHECKING, Any

from recmodels.base import Example, Recommender, Step
from recmodels.fused.blend import Blend
from recmodels.fused.members import Content, CoVisitation, Factorization, History, Popularity
from recmodels.specification import SpecificationError, build_model

if TYPE_CHECKING:
    from recmodels.contextual.model import Contextual
    from recmodels.river_model import RiverModel

__all__ = [
    "Blend",
    "CoVisitation",
    "Content",
    "Contextual",
    "Example",
    "Factorization",
    "History",
    "Popularity",
    "Recommender",
    "RiverModel",
    "SpecificationError",
    "Step",
    "build_model",
]


def __getattr__(name: str) -> Any:
    if name == "Contextual":
        from recmodels.contextual.model import Contextual

        return Contextual
    if name == "RiverModel":
        from recmodels.river_model import RiverModel

        return RiverModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
