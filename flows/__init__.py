"""The stream job: moves bytes, keeps state, and holds the engine.

```
source ─ decode ─ clean ─ features ─ learn + rank ─ emit ─ encode ─ sink
            └ rejected ───────────────────────────────────────────→ dead letters
```

Read it in the order in which an event meets it: `recommend` is this diagram in code; `messages` are the things that
travel; `log_file` and `kafka_source` are where they come from; `decode`, `clean`, `features`, `learn`, `emit` and
`encode` are the steps (`hold_back` and `crowd` are parts of `clean`, `fill` of `features`); `file_sinks` and
`kafka_sink` are where they go. `kept`, `store` and `records` are how the state of a step outlives the process.
`counters`
and `watch` count what happens, and `metrics`, `health` and `logs` say it. `replay` and `run` start a flow; `inputs` is
where a replay's logs come together, `recording` how a topic becomes one; `protocol` says what of it is scored, and
`asking` does it; `compare` and `tune` start many replays, each in a process of its own (`replay_job`); `settings` and
`cli` are how one tells them what to do. `model_watch` looks at a model while it learns, `stored` reads one that a job
has left, `show` prints it, and `html_report` draws what replays found. What a model is stands in `recmodels`, which
knows nothing of all this.

Delivery: at least once, in order for each user. No event that the source has handed over is lost when the process is
killed; lists since the last snapshot may be written twice, and each names the position of the event it answers.
"""
