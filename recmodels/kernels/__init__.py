"""The inner loops: state as named tuples of arrays, and compiled functions over them.

Read in the order in which an event meets them:

`state` (what the model remembers), `handle` (how a call finds it) and `prefetch` (how it comes in time), `candidates`
(the items a list is chosen from), then a file for each member of the blend: `popularity`, `covisitation`, `history`,
`factorization`, `content`. Each member *proposes* candidates, *scores* them in its columns of the candidate set, and
*learns* the event. `weights` unites the columns to one score, `topn` chooses the list, `calibration` makes its scores
probabilities. `driver` takes the events one after the other, `asking` answers without learning, and `announce` takes
item events.

In every table a row of zeros is an empty row, and row 0 belongs to nobody. Kernels read any row and write only those
of the event that they learn.
"""
