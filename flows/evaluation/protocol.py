"""Protocol of a replay: which events exist, which are scored, and against which candidates."""

from dataclasses import dataclass, replace
from typing import Final, Literal

from flows.errors import UsageError
from flows.steps.conditions import Condition, ExpressionError, parse_condition

__all__ = ["Protocol"]

Candidates = Literal["seen", "catalogue"]
Target = Literal["next", "session"]
Requests = Literal["none", "visits"]

MAX_LIST_LENGTH: Final = 1_000
"""Largest length of a list."""


@dataclass(frozen=True)
class Protocol:
    """The rules of scoring in a replay. The defaults score every positive event against the user's list of ten.

    Args:
        positive: A condition (`flows.steps.conditions`), such as `value>=4`. An interaction that does not meet it is
            learned with a reward of 0 at most, and not scored. None: every interaction with a reward above 0 is scored.
        warmup: Share of the log's interactions, from the first, that are learned and not scored: at least 0, below 1.
        ks: Lengths of list for the metrics, each from 1 to 1,000. Emitted lists keep the length of the settings.
        candidates: The item set that each test item is ranked against. "seen": items seen so far, as the model
        proposes them. A new item is a miss. "catalogue": every item of the whole log, each scored. Then the event's
        own item always has a rank. Unseen items of equal score have an order drawn with `seed`, since the order of
        the log would reveal the next item.
        score_every: Score one event in this number, drawn with `seed`. At least 1.
        seed: Seed of all draws.
        window: Number of scored events of one point of the metrics over time. None: no such series.
        target: "next": the event's own item. "session": any positive item of the rest of the user's session, and among
            them the one with the highest rank.
        where: A condition. An interaction that does not meet it does not exist: it is neither learned nor counted.
            None: all exist.
        requests: "visits": a request comes before each visit, that is a user's first event, or the first after 30
            minutes without one. The served hit rate is then given with these requests, too. They change no list that
            the model makes after an event.

    Raises:
        UsageError: A value is out of range, or a condition cannot be parsed. The message names the option.

    >>> Protocol(positive="value>=4", warmup=0.2, ks=(5, 10, 20)).depth
    20
    >>> Protocol(warmup=1.0)
    Traceback (most recent call last):
    flows.errors.UsageError: --warmup: expected a share of the log from 0 to below 1; got 1.0.
    """

    positive: str | None = None
    warmup: float = 0.0
    ks: tuple[int, ...] = (10,)
    candidates: Candidates = "seen"
    score_every: int = 1
    seed: int = 0
    window: int | None = None
    target: Target = "next"
    where: str | None = None
    requests: Requests = "none"

    def __post_init__(self) -> None:
        if not 0.0 <= self.warmup < 1.0:
            raise UsageError(f"--warmup: expected a share of the log from 0 to below 1; got {self.warmup}.")
        if not self.ks or not all(1 <= k <= MAX_LIST_LENGTH for k in self.ks) or len(set(self.ks)) < len(self.ks):
            raise UsageError(
                f"--k: expected different lengths of list from 1 to {MAX_LIST_LENGTH:,}, such as 5,10,20; "
                f"got {','.join(map(str, self.ks)) or 'none'}."
            )
        if self.candidates not in ("seen", "catalogue"):
            raise UsageError(f"--candidates: expected seen or catalogue; got {self.candidates!r}.")
        if self.target not in ("next", "session"):
            raise UsageError(f"--target: expected next or session; got {self.target!r}.")
        if self.requests not in ("none", "visits"):
            raise UsageError(f"--requests: expected none or visits; got {self.requests!r}.")
        if self.score_every < 1:
            raise UsageError(f"--score-every: expected 1 or more; got {self.score_every}.")
        if self.seed < 0:
            raise UsageError(f"--seed: expected 0 or more; got {self.seed}.")
        if self.window is not None and self.window < 1:
            raise UsageError(f"--window: expected 1 or more; got {self.window}.")
        for option, text in (("--positive", self.positive), ("--where", self.where)):
            try:
                _condition(text)
            except ExpressionError as error:
                raise UsageError(f"{option}: {error}") from None

    @property
    def depth(self) -> int:
        """Length of list that every metric needs."""
        return max(self.ks)

    @property
    def is_positive(self) -> Condition | None:
        """`positive` as a function; None if it is not set."""
        return _condition(self.positive)

    @property
    def is_selected(self) -> Condition | None:
        """`where` as a function; None if it is not set."""
        return _condition(self.where)

    @property
    def is_drawn(self) -> bool:
        """Whether anything is drawn, so that the metrics depend on the seed."""
        return self.score_every > 1 or self.candidates == "catalogue"

    @property
    def is_resumable(self) -> bool:
        """Whether a replay with this protocol can be resumed: the protocol has no state of its own."""
        return replace(self, ks=(10,), window=None) == Protocol()

    @property
    def needs_scan(self) -> bool:
        """Whether the whole log must be read once before the replay: for its length, its items or its sessions."""
        return self.warmup > 0.0 or self.candidates == "catalogue" or self.target == "session"


def _condition(text: str | None) -> Condition | None:
    return None if text is None else parse_condition(text)
