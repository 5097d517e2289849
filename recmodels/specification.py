"""Models by name: a specification is parsed as a call with literal arguments, and never evaluated."""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from recmodels.base import Recommender
from recmodels.own_code import own_line
from recmodels.river_expression import is_composed, river_expression

Made = TypeVar("Made")
BY_NAME = {
    "blend": "recmodels:Blend",
    "popularity": "recmodels:Popularity",
    "covisitation": "recmodels:CoVisitation",
    "history": "recmodels:History",
    "factorization": "recmodels:Factorization",
    "content": "recmodels:Content",
    "contextual": "recmodels:Contextual",
    "deep:mlp": "recmodels.deep:MLP",
    "deep:sasrec": "recmodels.deep:SASRec",
}
"""Models that have a name of their own."""
MAX_SPECIFICATION_LENGTH = 2_000
"""A specification has no more characters than this."""
SLOW = "slow"
"""The member of a blend that is trained beside the stream: `blend+slow`, `blend+slow(width=32)`."""
GRAMMAR = (
    "expected a name (blend, popularity, covisitation, history, factorization, content, contextual, deep:mlp, "
    "deep:sasrec), river:module.Class or "
    "package.module:Class, with literal arguments in brackets if it has any, such as "
    "blend(max_users=50000) or river:reco.BiasedMF(n_factors=32); blend+… has the others as members, blend+slow one "
    "that is trained beside the stream; "
    "river:A() | B() is a pipeline"
)


class ModelInfo(NamedTuple):
    """What is known of a model without making it again."""

    version: str
    """Name and version, as in each list."""
    uses_kernels: bool
    scores_are_probabilities: bool
    has_item_lists: bool


class SpecificationError(ValueError):
    """A model cannot be made of its specification. The message says what was expected, what came, and why."""


class OwnCodeError(SpecificationError):
    """A user's own module or class raised an error. The message begins with its file and line."""


def build_model(
    specification: str,
    repeats: str = "allow",
    bounds: Mapping[str, int] | None = None,
    seed: int = 0,
    undo: bool = False,
) -> Recommender:
    """Make a model of its specification.

    Args:
        specification: `blend`, `blend(max_users=50000)`, `river:reco.BiasedMF(n_factors=32)`,
            `river:preprocessing.StandardScaler() | linear_model.LogisticRegression()`,
            `package.module:Class(argument=1)`. A River model is wrapped in a `RiverModel`, and may be anything that
            `recmodels.river_expression` reads. Any other class must be a `Recommender`.
            `blend+river:reco.BiasedMF(n_factors=8)+mine:Newest` is a blend with further members.
        repeats: Handed to the model, unless the specification says it.
        bounds: Likewise, if the model takes them: `max_users` and `max_items`.
        seed: Likewise. All that a model draws comes from it, so the same log gives the same lists.
        undo: Whether the model keeps what it needs to take interactions back exactly.

    Raises:
        SpecificationError: It does not parse, does not name a model, or the model does not take its arguments.

    >>> build_model("popularity(half_life=100.0)", repeats="exclude")
    Popularity (
      half_life=100.
      decay_by="events"
      repeats="exclude"
      max_users=1000000
      max_items=1000000
      seed=0
    )
    """
    first, *others = split(specification)
    name, positional, named = parse(first)
    if others:
        if not all(others):
            raise SpecificationError(f"model {specification!r}: there is nothing behind a +; {GRAMMAR}.")
        named |= _members(specification, others)
    path = BY_NAME.get(name, name)
    if ":" not in path:
        raise SpecificationError(f"model {specification!r}: there is no model {name!r}; {GRAMMAR}.")
    module_name, _, class_name = path.partition(":")
    if module_name == "river":
        if others:
            raise _no_members(specification, name)
        from recmodels.river_model import RiverModel  # takes long to import

        estimator = _call(specification, river_expression, [first.strip().removeprefix("river:")], {})
        return _call(specification, RiverModel, [estimator], {"repeats": repeats, "seed": seed, **(bounds or {})})
    try:
        made = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # a module may raise anything while it is imported
        if (line := own_line(error)) is not None:
            raise OwnCodeError(f"{line}, while model {specification!r} is imported.") from None
        raise SpecificationError(f"model {specification!r}: cannot import it ({error}); {GRAMMAR}.") from None
    if not (inspect.isclass(made) and issubclass(made, Recommender)):
        raise SpecificationError(f"model {specification!r}: expected a subclass of recmodels.Recommender.")
    if others and "outside" not in inspect.signature(made).parameters:
        raise _no_members(specification, name)
    offered = {**(bounds or {}), "seed": seed}
    taken = {name: value for name, value in offered.items() if name in inspect.signature(made).parameters}
    model = _call(specification, made, positional, {"repeats": repeats, **taken, **named})
    if undo:
        model.enable_undo()
    _call(specification, model.unwrapped.allocate, [], {})  # tables too large for the machine show here
    return model


def _members(specification: str, others: list[str]) -> dict[str, str]:
    """Return the arguments of a blend with further members: the slow one is part of it, the rest are outside."""
    slow = [other for other in others if parse(other)[0] == SLOW]
    outside = [other for other in others if other not in slow]
    if len(slow) > 1:
        raise SpecificationError(f"model {specification!r}: expected slow at most once; got {len(slow)} times.")
    named = {"slow": slow[0]} if slow else {}
    return {**named, "outside": " + ".join(outside)} if outside else named


def _no_members(specification: str, name: str) -> SpecificationError:
    return SpecificationError(
        f"model {specification!r}: expected a blend in front of the first +; {name} has no members. "
        f"Write blend+{specification}. In a River pipeline, put the sum in brackets: river:compose.TransformerUnion(…)."
    )


@lru_cache(maxsize=64)
def model_info(specification: str) -> ModelInfo:
    """Return what is known of a model. It is made once for each specification, and again only if that failed.

    Raises:
        SpecificationError: As of `build_model`.

    >>> model_info("blend+popularity(half_life=5.0)")
    ModelInfo(version='blend+popularity/1', uses_kernels=True, scores_are_probabilities=True, has_item_lists=True)
    """
    model = build_model(specification)
    return ModelInfo(model.version, model.uses_kernels, model.scores_are_probabilities, model.has_item_lists)


def build_members(specification: str, seed: int = 0, **bounds: int) -> list[Recommender]:
    """Make the models of a specification with a + between them; of an empty one none.

    Args:
        specification: As for `build_model`.
        seed: Seed of each model that names none.
        bounds: As for `build_model`.

    >>> [type(model).__name__ for model in build_members("popularity + river:reco.BiasedMF(n_factors=8)")]
    ['Popularity', 'RiverModel']
    """
    return [build_model(part, bounds=bounds, seed=seed) for part in split(specification)] if specification else []


def split(specification: str) -> list[str]:
    """Part a specification at each + that is in no brackets and no quotes.

    >>> split("blend(seed=1)+river:reco.BiasedMF(latent='a+b') + mine:Noise")
    ['blend(seed=1)', "river:reco.BiasedMF(latent='a+b')", 'mine:Noise']
    """
    _expect_short(specification)
    tokens = re.findall(r"""'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|.""", specification, re.DOTALL)
    parts, depth = [""], 0
    for token in tokens:
        depth += (token in "([{") - (token in ")]}") if len(token) == 1 else 0
        if token == "+" and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def parse(specification: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Take a specification apart: the name, and the positional and the named arguments.

    What is composed of several estimators of River is a name as a whole.

    >>> parse("river:reco.BiasedMF(10, latent='x')")
    ('river:reco.BiasedMF', [10], {'latent': 'x'})
    >>> parse("river:preprocessing.StandardScaler() | linear_model.LogisticRegression()")
    ('river:preprocessing.StandardScaler() | linear_model.LogisticRegression()', [], {})
    """
    _expect_short(specification)
    text = specification.strip()
    if text.startswith("river:") and is_composed(text.removeprefix("river:")):
        return text, [], {}
    match = re.fullmatch(r"\s*([A-Za-z_][\w.]*(?::[A-Za-z_][\w.]*)?)\s*(\(.*\))?\s*", specification, re.DOTALL)
    if match is None:
        raise SpecificationError(f"model {specification!r}: {GRAMMAR}.")
    try:
        call = ast.parse(f"f{match[2] or '()'}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("this is not one call")
        positional = [ast.literal_eval(argument) for argument in call.args]
        named: dict[str, Any] = {}
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in named:
                raise ValueError("** is not allowed" if keyword.arg is None else f"{keyword.arg} is there twice")
            named[keyword.arg] = ast.literal_eval(keyword.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise SpecificationError(f"model {specification!r}: arguments must be literals ({error}); {GRAMMAR}.") from None
    return match[1], positional, named


def _expect_short(specification: str) -> None:
    if len(specification) > MAX_SPECIFICATION_LENGTH:
        raise SpecificationError(
            f"model {specification[:40]!r}…: it has more than {MAX_SPECIFICATION_LENGTH:,} characters; {GRAMMAR}."
        )


def _call(specification: str, made: Callable[..., Made], positional: list[Any], named: dict[str, Any]) -> Made:
    try:
        return made(*positional, **named)
    except Exception as error:  # a class may raise anything
        if (line := own_line(error)) is not None:
            raise OwnCodeError(f"{line}, while model {specification!r} is made.") from None
        if not isinstance(error, TypeError | ValueError | MemoryError | OverflowError):
            raise
        raise SpecificationError(f"model {specification!r}: {error}.") from None
