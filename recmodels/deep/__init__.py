"""Deep models that are retrained at intervals: an optional extra, to compare the blend with them.

A deep model is trained on many events at once, at intervals, so its weights are old between two trainings. Its inputs
are not: each list uses the user's latest events (`retrained.RetrainedModel`). So a comparison with the online models
measures the age of the weights and the cost of training, and not stale inputs.

- `MLP`: a multi-layer perceptron that predicts the probability that a user takes an item (`perceptron`).
- `SASRec`: a causal transformer that predicts the next item of a user's sequence (`transformer`).

`online_inputs` holds the live inputs, and `histories` the user's sequences in them. The networks are Keras layers
without weights of their own: weights are plain arrays. A network is compiled once per shape, and all models of that
shape share it.

Install `freshrank[deep]`. No other part of `recmodels` imports this package. `backend` makes Keras use JAX on one
thread.
"""

from recmodels.deep.mlp import MLP
from recmodels.deep.sasrec import SASRec

__all__ = ["MLP", "SASRec"]
