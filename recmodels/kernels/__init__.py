"""The inner loops: state as named tuples of arrays, and compiled functions over them.

Read them in the order in which an event meets them.

- `shared` is the state that all members read. `state` adds that of each member, and lists the members.
- `layout` is how a state says what its arrays are. `member` is what a member says of itself.
- `members` has a file for each member. It *proposes* candidates, *scores* them in its columns, and *learns* the event.
- `dispatch` calls a function of every member. `candidates` is the set of items that a list is chosen from.
- `weights` unites the columns to one score. `reranker` adds to the scores of the best candidates. `topn` chooses the
  list. `calibration` makes its scores probabilities.
- `event_loop` takes events one after the other, and `external` takes them in parts. `inference` answers without
  learning. `item_events` takes item events. `forgetting` takes rows out.
- `compile` says how all of it is compiled, `state_pointer` how a call finds the state, and `prefetch` how rows come in
  time.

In every table a row of zeros is an empty row, and row 0 belongs to nobody. Kernels read any row and write only those
of the event that they learn.
"""
