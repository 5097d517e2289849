"""The bench: how fast, how large and how fresh, measured; `python -m bench.run` writes it to `bench/results.md`.

One file for each measure, which runs alone too, as `python -m bench.catalogue --quick`:

- `replay_speed`: a real log through the default blend on one core, beside River and beside a floor;
- `latency`: the same log, from an event's arrival to its encoded list, by the size of batches;
- `kernels`: what each part of the inner loop takes;
- `catalogue`: what an event costs as the catalogue grows from 1,000 to 1,000,000 items;
- `memory`: a million users and a hundred thousand items;
- `soak`: millions of events whose ids keep coming: memory beyond the bounds, and the longest pause;
- `cold_start`: from the command to the first list, with kernels compiled before and without;
- `kafka`: from an event produced to its list consumed, on a real broker;
- `plain_models`: what models in plain Python and River's own cost in the same flow;
- `deep_trade`: what the deep models of the extra cost and reach; it takes too long to be one of `bench.run`.

`streams` makes the events, `flow` runs them through the flow in this process, `process` runs a measure in a process of
its own, and `report` is what a measure gives back. Every measure also asserts its output: a wrong answer must not look
fast.
"""
