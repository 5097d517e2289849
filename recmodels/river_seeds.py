"""Makes River estimators repeatable: seeds where none is given, and features in a fixed order."""

import inspect
from typing import Any

from river import base, compose


class SortedSelect(compose.Select):
    """River's `Select` with its keys in alphabetical order.

    River iterates over a set, whose order differs between processes. The order of the features decides the order of a
    sum, and so its last digits, and which weights are drawn first.

    >>> list(SortedSelect("user", "device", "item").transform_one({"item": 1, "user": 2, "device": 3}))
    ['device', 'item', 'user']
    """

    def __init__(self, *keys: base.typing.FeatureName) -> None:
        super().__init__(*keys)
        self.keys = dict.fromkeys(sorted(keys, key=str))


def repeatable(model: Any, seed: int) -> Any:
    """Return an estimator that learns the same in every process.

    Args:
        model: An estimator, a pipeline, or anything that is an argument of one.
        seed: Given to each part that takes a seed and has none.

    Returns:
        The same object if nothing had to change. Otherwise a fresh one, which has learned nothing.

    >>> from river import optim, reco
    >>> repeatable(reco.BiasedMF(), seed=7).latent_initializer.seed
    7
    >>> seeded = reco.BiasedMF(seed=1)
    >>> repeatable(seeded, seed=7) is seeded
    True
    """
    if type(model) is compose.Select:
        return SortedSelect(*model.keys)
    if isinstance(model, compose.Pipeline | compose.TransformerUnion):
        parts = model.steps if isinstance(model, compose.Pipeline) else model.transformers
        made = {name: repeatable(part, seed) for name, part in parts.items()}
        return model if _is_same(made, parts) else type(model)(*made.items())
    if isinstance(model, list | tuple):
        items = [repeatable(part, seed) for part in model]
        return model if all(map(lambda a, b: a is b, items, model)) else items
    if not isinstance(model, base.Base):
        return model
    # A parameter without an attribute of its name cannot be read, and so cannot hold an estimator that we could reach.
    names = [name for name in inspect.signature(type(model)).parameters if hasattr(model, name)]
    arguments = {name: getattr(model, name) for name in names}
    changed = {
        name: seed if name == "seed" and value is None else repeatable(value, seed) for name, value in arguments.items()
    }
    changed = {name: value for name, value in changed.items() if value is not arguments[name]}
    return model.clone(changed) if changed else model


def _is_same(made: dict[str, Any], parts: dict[str, Any]) -> bool:
    return all(made[name] is parts[name] for name in parts)
