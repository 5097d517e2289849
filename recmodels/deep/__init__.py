"""Deep models, retrained at intervals: an optional extra to measure what the blend gives up.

A deep model is trained on many events at once, again and again, and between two trainings its weights are old. Its
inputs are not: what a user did a moment ago is in the list made a moment later (`retrained.RetrainedModel`). So what
is compared with the online models is the age of the weights and their price, not a stale input.

- `MLP`: a multi-layer perceptron that says how likely a user is to take an item, from who the user is, which item it
  is, and the user's recent items (`perceptron`).
- `SASRec`: a causal transformer that reads the user's items in order and says what comes next (`transformer`).

`live` is what is always up to date, `histories` the part of it with a row of any length per user. The networks are
Keras layers, their weights plain arrays that are handed in and out: a network is compiled once per shape, and every
model of that shape uses it.

Install `freshrank[deep]`; nothing else in `recmodels` imports this package. `backend` says how Keras is made to use
JAX, on one thread.
"""

from recmodels.deep.mlp import MLP
from recmodels.deep.sasrec import SASRec

__all__ = ["MLP", "SASRec"]
