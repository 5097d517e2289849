"""Online models that recommend: plain learning, without streams, clocks, files or environment.

Every model is a River estimator with one contract (`base.Recommender`):

- `learn_one(user, item, y, x)` learns one interaction;
- `predict_one(user, item, x)` scores an item, `rank(user, items, x)` orders items;
- `top(user, n, x)` finds the user's list by itself;
- `learn_item(item, x, available)` and `forget_one(user)` keep it up with the catalogue and with erasures;
- `step_many(examples, n)` takes a micro-batch in order: ask, learn, make the new list.

Reads never write, ties break by what was seen first, memory is bounded by arguments.

`Blend` is the default. Its members run in one compiled kernel (`kernels`) over tables of arrays (`memory`), as do
`Popularity`, `CoVisitation`, `History`, `Factorization` and `Content`, which are its members alone; models of any other
kind can be members, too (`outside`). `drift` tells when the stream has changed. `RiverModel` puts River's own models
to work, `specification` makes a model of a line of text, `checks` holds every model to the contract, and `evaluate`
measures lists.
"""

from recmodels.base import Example, Recommender, Step
from recmodels.contextual.model import Contextual
from recmodels.fused.blend import Blend
from recmodels.fused.members import Content, CoVisitation, Factorization, History, Popularity
from recmodels.river_model import RiverModel
from recmodels.specification import SpecificationError, build_model

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
