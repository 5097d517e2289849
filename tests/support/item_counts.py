"""What a fused model has counted of items, by their names."""

from typing import Any

from recmodels.fused.model import FusedModel
from recmodels.kernels.shared import EVENTS


def counts(model: FusedModel) -> dict[str, Any]:
    """Return all that is counted of items, by their names."""
    memory, state = model.memory, model.memory.state
    found: dict[str, Any] = {"events": int(state.shared.counters[EVENTS])}
    for item, row in memory.items.rows.items():
        if not model.knows(item):
            continue
        found[f"standing {item}"] = int(state.shared.items.standing[row])
        found[f"undecayed {item}"] = 2.0 ** float(state.popularity.items.level[row, -1])
        if model.decay_by == "time":
            for h in range(4):
                found[f"level {h} {item}"] = float(state.popularity.items.level[row, h])
        for kind, table in (("after", state.covisitation.items), ("before", state.predecessors.rows)):
            for k in range(int(table.size[row])):
                other = memory.items.names[table.item[row, k]]
                found[f"{other} {kind} {item}"] = float(table.weight[row, k])
    return found
