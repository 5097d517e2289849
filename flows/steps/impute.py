"""Imputation of a missing value or context field, from the values of earlier events."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import numpy as np
import orjson
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import Interaction, Prepared
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful

Filling: TypeAlias = Literal["mean", "mode"]
"""Strategy: the mean of the numbers so far, or the mode, the most frequent word or whole number."""

WORDS: Final = 100
"""Number of distinct words that are counted for a field, in order of arrival. The mode is for fields such as a device,
not for ids."""
LONGEST_WORD: Final = 256
LARGEST_NUMBER: Final = 1e30
"""Largest number that counts for the mean. One larger value would spoil the mean for ever."""
LARGEST_WHOLE: Final = 2**63 - 1


@operator
def impute(
    step_id: str, up: KeyedStream[Prepared], fields: Mapping[str, Filling], store: StoreFor
) -> KeyedStream[Prepared]:
    """Fill missing fields of interactions. Everything else passes unchanged.

    Args:
        step_id: Id of the step. It names stored state.
        up: Prepared events by shard.
        fields: Strategy by name of the field.
        store: Opens the stored state of a step.
    """
    return stateful("fields", up, lambda: Imputer(fields), store)


class Imputer(StatefulStep[Prepared, Prepared]):
    """Imputes missing fields by River's `StatImputer`.

    A field is missing if the event lacks it or has null. That holds for `value`, too, although it counts as 1
    elsewhere. The first value of a field must come before it can be imputed. Imputed values are not learned. A value of
    the wrong type is neither learned nor replaced.

    Args:
        fields: Strategy by name of the field: `value`, or a name of the context.

    >>> from flows.steps.features import Meaning, prepare
    >>> filler = Imputer({"device": "mode", "value": "mean"})
    >>> said = [({"device": "phone"}, 2.0), ({"device": None}, 4.0), (None, None)]
    >>> events = [Interaction("u", "i", 1.0, value=v or 1.0, has_value=v is not None, context=c) for c, v in said]
    >>> for event, example in filler.process([prepare(event, Meaning(rewards={})) for event in events]):
    ...     print(example.x["device"], example.x["value"])
    phone 2.0
    phone 4.0
    phone 3.0
    """

    def __init__(self, fields: Mapping[str, Filling]) -> None:
        from river.preprocessing import StatImputer  # takes a second to import
        from river.stats import Mean, Mode

        self.fields = fields
        self._imputer = StatImputer(*((name, Mean() if how == "mean" else Mode(WORDS)) for name, how in fields.items()))

    @override
    def process(self, batch: list[Prepared]) -> list[Prepared]:
        return [self._filled(prepared) for prepared in batch]

    def _filled(self, prepared: Prepared) -> Prepared:
        event, example = prepared
        if example is None or not isinstance(event, Interaction):
            return prepared
        given = {**(example.x or {})}
        if not event.has_value:
            given["value"] = None
        row = {name: given.get(name) for name in self.fields}
        self._imputer.learn_one({name: value if self._fits(name, value) else None for name, value in row.items()})
        filled = self._imputer.transform_one(row)
        missing = [name for name, value in row.items() if value is None and self._is_known(name)]
        if not missing:
            return prepared
        return Prepared(event, example._replace(x={**(example.x or {}), **{name: filled[name] for name in missing}}))

    def _fits(self, name: str, value: object) -> bool:
        if self.fields[name] == "mean":
            return isinstance(value, int | float) and type(value) is not bool and abs(value) <= LARGEST_NUMBER
        if isinstance(value, str):
            return len(value) <= LONGEST_WORD
        return isinstance(value, int) and abs(value) <= LARGEST_WHOLE

    def _is_known(self, name: str) -> bool:
        statistic = self._imputer.stats[name]
        return bool(statistic.n if self.fields[name] == "mean" else statistic.counts)

    @override
    def dump(self) -> Snapshot:
        state = {
            name: [how, statistic.n, statistic.get()] if how == "mean" else [how, *map(list, statistic.counts.items())]
            for (name, how), statistic in zip(self.fields.items(), self._imputer.stats.values(), strict=True)
        }
        return {"fields": np.frombuffer(orjson.dumps(state), np.uint8)}

    @override
    def load(self, snapshot: Snapshot) -> None:
        for name, (how, *state) in orjson.loads(snapshot["fields"].tobytes()).items():
            if self.fields.get(name) != how:  # the setting has changed: this field starts empty
                continue
            if how == "mean":
                self._imputer.stats[name] = type(self._imputer.stats[name])._from_state(*state)
            else:
                self._imputer.stats[name].counts.clear()
                self._imputer.stats[name].counts.update((word, count) for word, count in state)
