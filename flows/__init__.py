"""The stream job: it moves bytes, keeps state and holds the engine. `recmodels` holds the models.

```
source ─ decode ─ clean ─ features ─ learn + rank ─ emit ─ encode ─ sink
            └ rejected ───────────────────────────────────────────→ dead letters
```

Public doors, each with `__all__`; everything else is internal and may change:

- `flows.replay`: `replay` a recorded log, and its `ReplayResult`.
- `flows.settings`: `Settings`.
- `flows.recommend`: `flow`, for the engine's own command.
- `flows.pipeline`: `build_flow` and its `Connections`.
- `flows.evaluation.protocol` and `flows.evaluation.model_observer`: `Protocol`, `ModelObserver`.
- `flows.report.page` and `flows.report.data`: `write_html` and the data of a replay for it.
- `flows.errors`: the exceptions.

Read the rooms in this order:

- `messages`: the types that travel.
- `kafka` and `files`: connectors.
- `formats`: bytes to events.
- `steps`: the path of an event.
- `state`: state that survives the process.
- `pipeline`: the diagram in code.
- `job` and `replay`: start a flow.
- `evaluation` and `experiments`: test-then-learn, compare and tune.
- `report`, `serve` (HTTP) and `commands`.

Imports point to lower floors only: see docs/architecture.md.

Delivery is at least once, in order for each user. An event that the source has handed over is not lost when the process
is killed. Lists since the last snapshot may be written twice, and each names the position of its event.
"""
