"""Compiled inner loops of the fused models: state as named tuples of arrays, and functions over them.

Read the modules in the order of an event's path:

- `shared` is the state that all members read. `state` adds the state of each member, and lists the members.
- `layout` declares the arrays of a state. `member` declares a member.
- `members` has a file for each member. It *proposes* candidates, *scores* them in its columns, and *learns* the event.
- `dispatch` calls a function of every member. `candidates` is the set of items that a list is chosen from.
- `weights` sums the columns to one score. `reranker` adds to the scores of the best candidates. `topn` chooses the
  list. `calibration` turns its scores into probabilities.
- `event_loop` processes events in order, and `external` does so in parts. `inference` ranks and scores without
  learning. `item_events` learns item events. `forgetting` removes rows.
- `compile` compiles and caches, and `kernel_compiler` configures numba for short compile times. `state_pointer` passes
  the state to a call, and `prefetch` loads rows ahead of use.

In every table a row of zeros is empty, and row 0 is reserved. Kernels read any row. They write only the rows of the
event that they learn.
"""
