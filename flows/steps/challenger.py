"""Challenger: a second model that learns every event beside the champion, and whose lists are not sent.

Both are scored test-then-learn on the same events. The challenger changes nothing of the champion. It has a state of
its own, and an error within it ends it and not the job.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from flows.messages import Exposed, Ranked
from flows.monitoring.challenge import Challenge
from flows.state.roles import Roles, arrays_of_slot, arrays_with, named_by_slot
from flows.state.stateful import Snapshot
from flows.steps.exposure import Exposure, Listed
from flows.steps.scoring import Evaluator
from recmodels.base import Context, Example, Recommender, Step
from recmodels.kernels.splitmix import GOLDEN_GAMMA
from recmodels.own_code import library_line, own_line
from recmodels.rules import load_arrays

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

WORD: Final = 1 << 64
GOLDEN: Final = int(GOLDEN_GAMMA)
"""2^64 divided by the golden ratio. Its multiples, modulo 2^64, are spread evenly and follow no rhythm of the users."""
DIGITS: Final = 6
"""Decimal places of the scores of lists that are made without an event of their user."""
LOT: Final = 64
"""Number of events that the challenger learns at once. One by one, compiled models take twice as long."""
SILENT_EVENTS: Final = 1_000
"""Number of scored events without a single hit after which a challenger's lists are looked at."""


@dataclass(frozen=True, kw_only=True)
class Challenging:
    """Configuration of a challenger."""

    build_model: Callable[[], Recommender]
    challenge: Challenge
    """Takes what is measured."""
    share: float = 1.0
    """Share of events that are scored."""
    k: int = 10
    """Length of the lists that count."""
    exposure: Exposure | None = None
    """What users see of the challenger. None: nothing."""
    top: int = 10
    """Length of the lists that they see."""
    judge: Evaluator | None = None
    """Scores by a protocol of its own. None: each event against the list of `k` items."""


class Challenger:
    """Holds the challenger and what is measured of it.

    Args:
        challenging: Configuration.
        roles: Numbers of the two models in the state.

    >>> from recmodels import Popularity
    >>> challenging = Challenging(build_model=Popularity, challenge=Challenge(), share=0.25, k=1)
    >>> challenger, champion = Challenger(challenging, Roles()), Popularity()
    >>> for number in range(100):
    ...     examples = [Example(f"u{number % 3}", "tea")]
    ...     challenger.learn(examples, challenger.steps_of(champion, examples, 10))
    >>> challenger.settle()
    >>> hits = challenging.challenge.hits
    >>> challenging.challenge.learned, hits.scored, hits.wins, hits.losses
    (100, 27, 0, 0)
    """

    def __init__(self, challenging: Challenging, roles: Roles) -> None:
        self.challenge = challenging.challenge
        self.share = challenging.share
        self.k = challenging.k
        self.judge = challenging.judge
        self.exposure = challenging.exposure
        self.top = challenging.top
        self.roles = roles
        self.is_resumed = False
        self._build = challenging.build_model
        self._model = challenging.build_model()
        self._waiting: list[tuple[Example, int | None]] = []
        """Events that the challenger will learn with the next lot, with the champion's positions."""
        self.challenge.finish = self.settle
        self._lists: dict[int, Listed] = {}
        """Lists of the challenger after the newest events, by the place of the event in its batch."""
        self._first = 0
        """Number of events that were learned before that batch."""
        self._looked = False
        self._is_anew = False  # the next dump says that what was stored before does not count
        self._skips = False  # until a dump of a challenger that begins anew

    def steps_of(self, champion: Recommender, examples: Sequence[Example], n: int) -> list[Step]:
        """Return the champion's steps. It is scored on the events that the challenger will be scored on.

        Args:
            champion: The champion, which learns the examples.
            examples: Examples in order.
            n: Number of items of a list.
        """
        if champion.always_scores:
            return champion.step_many(examples, n, True)
        steps: list[Step] = []
        for is_drawn, run in groupby(zip(self._drawn(len(examples)), examples, strict=True), lambda pair: pair[0]):
            steps += champion.step_many([example for _, example in run], n, is_drawn)
        return steps

    def learn(self, examples: Sequence[Example], steps: Sequence[Step]) -> None:
        """Score the challenger on some events, let it learn all of them, and compare.

        If nobody sees its lists, the events wait until they are a lot. That changes no result.

        Args:
            examples: Examples in order.
            steps: The champion's steps of the same examples.
        """
        positions = [step.position for step in steps]
        if self.exposure is not None or self.judge is not None:
            self._learn(examples, positions)
        elif not self.challenge.has_failed:
            self._waiting += zip(examples, positions, strict=True)
            if len(self._waiting) >= LOT:
                self.settle()

    def settle(self) -> None:
        """Learn the events that wait."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._learn([example for example, _ in waiting], [position for _, position in waiting])

    def _learn(self, examples: Sequence[Example], of_champion: Sequence[int | None]) -> None:
        challenge = self.challenge
        self._lists = {}
        if challenge.has_failed:
            return
        self._first, drawn = challenge.learned, self._drawn(len(examples))
        positions = self._try(lambda: self._positions(examples, drawn))
        if positions is None:
            return
        challenge.learned += len(examples)
        for is_drawn, place, position in zip(drawn, of_champion, positions, strict=True):
            if is_drawn and place is not None:
                # An event that the challenger does not score, such as a repeat that it alone knows, is no hit of it.
                challenge.hits.update(0 <= place < self.k, position is not None and 0 <= position < self.k)
        if not self._looked and challenge.hits.scored >= SILENT_EVENTS:
            self._look(examples[-1])

    def learn_item(self, item: str, features: Mapping[str, Any] | None, available: bool | None) -> None:
        """Learn an item event."""
        self.settle()
        if not self.challenge.has_failed:
            self._try(lambda: self._model.learn_item(item, features, available))
            if self.judge is not None:
                self.judge.learn_item(item, available)

    def forget_one(self, user: str) -> None:
        """Erase a user."""
        self.settle()
        if not self.challenge.has_failed:
            self._try(lambda: self._model.forget_one(user))
            if self.judge is not None:
                self.judge.forget_one(user)

    def _drawn(self, count: int) -> list[bool]:
        """Return which of the next events are scored. The number of an event alone decides it."""
        if self.challenge.has_failed:
            return [False] * count
        if self.share >= 1.0:
            return [True] * count
        first, most = self.challenge.learned + len(self._waiting), int(self.share * WORD)
        return [number * GOLDEN % WORD < most for number in range(first, first + count)]

    def _look(self, example: Example) -> None:
        """Warn once if the challenger gives no lists."""
        self._looked = True
        if self.challenge.hits.challenger_hits:
            return
        listed = self._try(lambda: self._model.top(example.user, self.k, {"timestamp": example.timestamp}))
        if listed is not None and not listed:
            logger.warning(
                "challenger %s: expected lists with items; the list of user %s after %d scored events is empty, and no "
                "event was a hit. Empty lists count as misses; the champion goes on.",
                self.challenge.model,
                example.user,
                self.challenge.hits.scored,
            )

    def expose(self, ranked: Ranked, place: int, champion: str) -> Ranked:
        """Return a list after an event as its user sees it.

        Args:
            ranked: The champion's list.
            place: Place of its event in the newest batch.
            champion: Name and version of the champion.
        """
        listed = self._lists.get(place)
        return ranked if listed is None else self._exposed(ranked, listed, self._first + place + 1, champion)

    def expose_asked(self, ranked: Ranked, x: Context, champion: str) -> Ranked:
        """Return a list as its user sees it, if it is made without an event of the user.

        Args:
            ranked: The champion's list.
            x: Context of the list.
            champion: Name and version of the champion.
        """
        user = ranked.event.user
        if self.exposure is None or self.challenge.has_failed or not self.exposure.is_chosen(user):
            return ranked
        listed = self._try(lambda: self._model.top(user, self.top, x))
        if listed is None:
            return ranked
        of_challenger = ([item for item, _ in listed], [round(score, DIGITS) for _, score in listed])
        return self._exposed(ranked, of_challenger, self.challenge.learned, champion)

    def _exposed(self, ranked: Ranked, listed: Listed, number: int, champion: str) -> Ranked:
        assert self.exposure is not None
        own = (ranked.items or (), ranked.scores or ())
        drafted = self.exposure.list_for(ranked.event.user, number, own, listed)
        version = self._model.version
        exposed = Exposed(
            "challenger" if self.exposure.mode == "split" else "interleaved",
            version if self.exposure.mode == "split" else f"{champion}|{version}",
            drafted.of_challenger,
        )
        return ranked._replace(items=drafted.items, scores=drafted.scores, why=None, exposed=exposed)

    def _positions(self, examples: Sequence[Example], scored: Sequence[bool]) -> list[int | None]:
        """Return the positions, and note the lists of users who see them."""
        if self.exposure is None:
            return self._scored(examples, scored)
        positions: list[int | None] = []
        for is_chosen, run in groupby(examples, lambda example: self._sees(example.user)):
            part, start = list(run), len(positions)
            drawn = scored[start : start + len(part)]
            if not is_chosen:
                positions += self._scored(part, drawn)
                continue
            if self.judge is None:
                steps = self._model.step_many(part, self.top, True)
            else:
                steps = self.judge.step_many(self._model, part)
            for place, (step, is_drawn) in enumerate(zip(steps, drawn, strict=True), start=start):
                positions.append(step.position if is_drawn else None)
                self._lists[place] = (step.items, step.scores)
        return positions

    def _sees(self, user: str) -> bool:
        return self.exposure is not None and self.exposure.is_chosen(user)

    def _scored(self, examples: Sequence[Example], scored: Sequence[bool]) -> list[int | None]:
        if self.judge is None:
            return self._model.score_many(examples, self.k, scored)
        return self.judge.positions(self._model, examples, scored)

    def _try(self, work: Callable[[], Result]) -> Result | None:
        """Let the model work. An error ends the challenger, and gives None."""
        try:
            return work()
        except Exception as error:  # a model may raise anything
            line = own_line(error) or library_line(error) or f"{type(error).__name__}: {error}"
            self.challenge.failure = line
            logger.error(
                "challenger %s: %s, after %d events. It learns no more; the champion goes on. Mend it, and restart the "
                "job: the challenger then begins anew.",
                self.challenge.model,
                line,
                self.challenge.learned,
            )
            return None

    def dump(self) -> Snapshot:
        """Return the whole state."""
        return self._dumped(self._model.dump)

    def dump_changes(self) -> Snapshot:
        """Return what has changed since the last dump."""
        dumped = self._dumped(self._model.dump_changes)
        self._is_anew = False
        return dumped

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        """Return a part of the state, and the place behind it: 0 at the end."""
        behind = [0]

        def part() -> Snapshot:
            arrays, behind[0] = self._model.dump_part(place, size)
            return arrays

        return self._dumped(part), behind[0]

    def _dumped(self, dump: Callable[[], Snapshot]) -> Snapshot:
        """Return what is measured, and the model's arrays unless it has failed."""
        self.settle()
        arrays = None if self.challenge.has_failed else self._try(dump)
        numbers = {
            **self.challenge.hits.numbers(),
            "learned": self.challenge.learned,
            "failure": self.challenge.failure,
            "anew": self._is_anew,
        }
        measured = np.frombuffer(msgspec.json.encode(numbers), np.uint8)
        return {**named_by_slot(arrays or {}, self.roles.challenger), f"pair{self.roles.pair}.numbers": measured}

    def load(self, snapshot: Snapshot) -> None:
        """Take over a dump. A challenger that had failed begins anew, and so does one that cannot be loaded."""
        measured = arrays_with(snapshot, f"pair{self.roles.pair}.").get("numbers")
        numbers = {} if measured is None else msgspec.json.decode(measured.tobytes())
        if numbers.get("failure") is not None:
            self._begin_anew()
            return
        if numbers.get("anew"):
            self._begin_anew()
            self._skips = False
        arrays = arrays_of_slot(snapshot, self.roles.challenger)
        if self._skips or not (arrays or numbers):
            return
        try:
            if arrays:
                load_arrays(self._model, arrays)
        except Exception as error:  # the model's code may have changed
            logger.warning(
                "challenger %s: its state does not fit the model (%s). It begins anew; the champion goes on.",
                self.challenge.model,
                error,
            )
            self._begin_anew()
            self._skips = True
            return
        self.is_resumed, self._is_anew = True, False
        if numbers:
            self.challenge.hits.take_over(numbers)
            self.challenge.learned = int(numbers["learned"])

    def _begin_anew(self) -> None:
        self._model = self._build()
        self.is_resumed, self._is_anew = False, True
        self.challenge.hits.clear()
        self.challenge.learned = 0
