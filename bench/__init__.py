"""Benchmarks of speed, memory and latency. `python -m bench.run` writes them to `bench/results.md`.

Each benchmark is one file, and runs alone, too: `python -m bench.catalogue --quick`.

- `replay_speed`: events per second of a real log on one core, beside River and a constant model.
- `latency`: time from an event's arrival to its encoded list, by batch size.
- `kernels`: time of each part of the inner loop.
- `catalogue`: time per event with 1,000 to 1,000,000 items.
- `memory`: memory of a million users and a hundred thousand items.
- `soak`: millions of events with new ids all the time: memory at the bounds, and the longest pause.
- `cold_start`: time from the command to the first list, with and without compiled kernels.
- `kafka`: time from an event produced to its list consumed, on a real broker.
- `plain_models`: speed of models in plain Python and of River's own in the same flow.
- `deep_trade`: time and hit rate of the deep models. It takes too long for `bench.run`.

`streams` makes the events, and `flow` runs them through the flow in this process. `process` runs a benchmark in a
process of its own. `report` holds the results. Each benchmark also asserts its output, so that a wrong answer cannot
look fast.
"""
