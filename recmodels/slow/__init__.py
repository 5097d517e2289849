"""Training of the slow member: a recurrent net that predicts the next item of a history.

The blend's slow member serves the net in its kernels (`recmodels.kernels.members.slow`). Its weights are trained apart
from the stream, on histories that the blend hands over at certain numbers of events:

- `options` are the arguments of the member.
- `work` is what a training gets and gives: plain arrays, which can be written to a file and read by another process.
- `sequences` cuts histories into sequences of one length.
- `training` does the training, with JAX. It is the only module here that imports it.
- `trainer` says who trains: this process at once, or another one beside it.

A training takes one thread and all that it draws comes from a seed. So the same work gives the same weights.
"""
