"""The options of a protocol, the same for every command that replays."""

import inspect
from collections.abc import Callable
from enum import StrEnum
from functools import partial, wraps
from typing import Annotated, Any, TypeAlias

import typer

from flows.errors import UsageError
from flows.evaluation.protocol import Protocol

ProtocolOf: TypeAlias = Callable[[int], Protocol]
"""Makes the protocol that was asked for, given the length of the lists. Without `--k` the metrics are at ten, or at the
length of the lists where that is less.

Raises UsageError where an option cannot be used, and says which.
"""


class Candidates(StrEnum):
    """What an item competes with."""

    SEEN = "seen"
    CATALOGUE = "catalogue"


class Target(StrEnum):
    """What counts as a hit."""

    NEXT = "next"
    SESSION = "session"


def _options(
    where: Annotated[str | None, typer.Option(help="Leave out all other interactions: 'value>=4'.")] = None,
    positive: Annotated[
        str | None, typer.Option(help="Learn all other interactions as not positive, and do not score them.")
    ] = None,
    warmup: Annotated[float, typer.Option(help="Share of the log that is learned and not scored.")] = 0.0,
    k: Annotated[str | None, typer.Option(help="Lengths of list to score: 5,10,20.", show_default="10")] = None,
    candidates: Annotated[
        Candidates, typer.Option(help="What an item competes with: items seen so far, or all of the log.")
    ] = Candidates.SEEN,
    target: Annotated[
        Target, typer.Option(help="A hit is the next item, or any of the rest of the session.")
    ] = Target.NEXT,
    score_every: Annotated[int, typer.Option(help="Score one event in so many, drawn with the seed.")] = 1,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    window: Annotated[int | None, typer.Option(help="Report the metrics of each so many scored events, too.")] = None,
) -> None:
    """Only the signature counts."""


def with_protocol(command: Callable[..., None]) -> Callable[..., None]:
    """Give a Typer command the options of a protocol. It takes them as one argument, `protocol: ProtocolOf`.

    >>> app = typer.Typer()
    >>> @app.command()
    ... @with_protocol
    ... def show(name: str, protocol: ProtocolOf) -> None:
    ...     print(name, protocol(10).ks, protocol(3).ks, protocol(10).warmup)
    >>> app(["log", "--warmup", "0.3"], standalone_mode=False)
    log (10,) (3,) 0.3
    """
    return with_options(command, _options, "protocol", lambda flags: partial(_protocol, flags))


def with_options(
    command: Callable[..., None],
    options: Callable[..., None],
    name: str,
    unite: Callable[[dict[str, Any]], object],
) -> Callable[..., None]:
    """Give a Typer command more options, which reach it as one argument.

    Args:
        command: What is run.
        options: A function whose parameters are the options.
        name: The command's parameter that takes them.
        unite: Makes of the options, by name, what the command takes.
    """
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != name]
    added = list(inspect.signature(options).parameters.values())

    @wraps(command)
    def with_them(**given: Any) -> None:
        flags = {parameter.name: given.pop(parameter.name) for parameter in added}
        command(**given, **{name: unite(flags)})

    every = sorted([*own, *added], key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in every]
    with_them.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]  # what Typer looks at
    with_them.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return with_them


def _protocol(flags: dict[str, Any], top: int) -> Protocol:
    ks = (min(10, top),) if flags["k"] is None else _numbers(flags["k"])
    others = {name: value for name, value in flags.items() if name not in ("k", "candidates", "target")}
    return Protocol(ks=ks, candidates=flags["candidates"].value, target=flags["target"].value, **others)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise UsageError(
            f"--k: expected lengths of list with commas between them, such as 5,10,20; got {text!r}."
        ) from None
