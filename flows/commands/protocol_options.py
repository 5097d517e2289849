"""The options of a protocol, the same for every command that replays."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer

from flows.errors import UsageError
from flows.evaluation.protocol import Protocol
from flows.settings import Settings


@dataclass(frozen=True)
class GivenProtocol:
    """The protocol that was asked for. Without `--k` the metrics are at ten, or at the length of the lists if less."""

    flags: dict[str, Any]

    @property
    def seed(self) -> int | None:
        """What `--seed` says, for the settings; None where it is not given."""
        seed: int | None = self.flags["seed"]
        return seed

    def __call__(self, settings: Settings) -> Protocol:
        """Return the protocol for lists of these settings, drawn with their seed.

        Raises:
            UsageError: An option cannot be used. The message names it.
        """
        ks = (min(10, settings.top),) if self.flags["k"] is None else _numbers(self.flags["k"])
        chosen = {name: self.flags[name].value for name in ("candidates", "target", "requests")}
        others = {name: value for name, value in self.flags.items() if name != "k"}
        return Protocol(**{**others, **chosen, "ks": ks, "seed": settings.seed})


class CandidatesOption(StrEnum):
    """Choices of `--candidates`: the item set that each test item is ranked against."""

    SEEN = "seen"
    CATALOGUE = "catalogue"


class TargetOption(StrEnum):
    """Choices of `--target`: the items that count as a hit."""

    NEXT = "next"
    SESSION = "session"


class RequestsOption(StrEnum):
    """Choices of `--requests`: when a replay requests lists, as a site would."""

    NONE = "none"
    VISITS = "visits"


def _options(
    where: Annotated[str | None, typer.Option(help="Condition: leave out other interactions: 'value>=4'.")] = None,
    positive: Annotated[
        str | None, typer.Option(help="Learn all other interactions as not positive, and do not score them.")
    ] = None,
    warmup: Annotated[float, typer.Option(help="Share of the log that is learned and not scored.")] = 0.0,
    k: Annotated[str | None, typer.Option(help="Lengths of list to score: 5,10,20.", show_default="10")] = None,
    candidates: Annotated[
        CandidatesOption, typer.Option(help="Items that a test item is ranked against: seen so far, or all of the log.")
    ] = CandidatesOption.SEEN,
    target: Annotated[
        TargetOption, typer.Option(help="A hit is the next item, or any of the rest of the session.")
    ] = TargetOption.NEXT,
    requests: Annotated[
        RequestsOption,
        typer.Option(help="Ask for the user's list before each visit, that is after 30 minutes without one."),
    ] = RequestsOption.NONE,
    score_every: Annotated[int, typer.Option(help="Score one event in this number, drawn with the seed.")] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the model and of all draws.", show_default="0")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Report the metrics of every block of this number of scored events, too.")
    ] = None,
) -> None:
    """Only the signature counts."""


def with_protocol(command: Callable[..., None]) -> Callable[..., None]:
    """Give a Typer command the options of a protocol. It takes them as one argument, `protocol: GivenProtocol`.

    >>> app = typer.Typer()
    >>> @app.command()
    ... @with_protocol
    ... def show(name: str, protocol: GivenProtocol) -> None:
    ...     print(name, protocol(Settings(top=10)).ks, protocol(Settings(top=3)).ks, protocol.flags["warmup"])
    >>> app(["log", "--warmup", "0.3"], standalone_mode=False)
    log (10,) (3,) 0.3
    """
    return with_options(command, _options, "protocol", GivenProtocol)


def with_options(
    command: Callable[..., None],
    options: Callable[..., None] | Sequence[inspect.Parameter],
    name: str,
    unite: Callable[[dict[str, Any]], object],
) -> Callable[..., None]:
    """Give a Typer command more options, which reach it as one argument.

    Args:
        command: What is run.
        options: The options as parameters, or a function that has these parameters.
        name: The command's parameter that takes them.
        unite: Makes of the options, by name, what the command takes.
    """
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != name]
    added = list(inspect.signature(options).parameters.values() if callable(options) else options)

    @wraps(command)
    def with_them(**given: Any) -> None:
        flags = {parameter.name: given.pop(parameter.name) for parameter in added}
        command(**given, **{name: unite(flags)})

    every = sorted([*own, *added], key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in every]
    with_them.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]  # what Typer looks at
    with_them.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
    return with_them


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise UsageError(
            f"--k: expected lengths of list with commas between them, such as 5,10,20; got {text!r}."
        ) from None
