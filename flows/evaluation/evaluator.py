"""Evaluator: the rank of each event's item in the user's list just before the event, by the rules of a protocol."""

from collections.abc import Collection, Sequence

from flows.evaluation.log_scan import LogStatistics
from flows.evaluation.protocol import Protocol
from flows.steps.hashing import digest
from recmodels.base import Context, Example, Recommender, Step
from recmodels.kernels.event_loop import MIN_CANDIDATES
from recmodels.rewards import bounded


class ProtocolEvaluator:
    """Processes the examples of a replay in order, and scores those that the protocol names.

    Scoring changes neither the learning nor the emitted lists.

    Args:
        protocol: Rules of scoring.
        top: Length of the emitted lists.
        statistics: Statistics of the log, if the protocol needs them.

    >>> from recmodels import Popularity
    >>> asker = ProtocolEvaluator(Protocol(score_every=2, seed=1), top=10)
    >>> steps = asker.step_many(Popularity(), [Example("ann", item) for item in ("tea", "jam", "tea", "jam", "tea")])
    >>> [step.position for step in steps]
    [None, -1, None, 1, 1]
    """

    def __init__(self, protocol: Protocol, top: int, statistics: LogStatistics | None = None) -> None:
        self.protocol = protocol
        self.top = top
        self.statistics = statistics or LogStatistics()
        self.number = 0
        """Number of the next interaction in the log, from 0."""
        self._first = int(protocol.warmup * self.statistics.events)
        self._asks_alone = (
            protocol.candidates == "catalogue"
            or protocol.target == "session"
            or (protocol.depth > self.top and protocol.depth > MIN_CANDIDATES)
        )
        # Unseen items of equal score have this order. That of the log would reveal which item comes next.
        items = sorted(self.statistics.items, key=lambda item: digest(f"{protocol.seed}/{item}"))
        self._catalogue = items if protocol.candidates == "catalogue" else []
        self._hidden: set[str] = set()
        self._known: dict[str, set[str]] = {}

    def step_many(self, model: Recommender, examples: Sequence[Example]) -> list[Step]:
        """Process examples as `Recommender.step_many` does, with positions by the protocol.

        A position is the rank, from 0, in a list of the longest length that counts, or -1 if the item is not in it.
        With the catalogue as candidates every item has a rank. It is None for an event that is not scored.
        """
        steps: list[Step] = []
        run: list[Example] = []  # processed in one call: all of them are scored, or none
        run_is_scored = False
        for example in examples:
            is_scored = self._is_scored(self.number)
            if run and (is_scored is not run_is_scored or (is_scored and self._asks_alone)):
                steps += self._together(model, run, run_is_scored)
                run = []
            if is_scored and self._asks_alone:
                steps.append(self._alone(model, example))
            else:
                run, run_is_scored = [*run, example], is_scored
            if self._catalogue and model.repeats == "exclude":
                self._known.setdefault(example.user, set()).add(example.item)
            self.number += 1
        return steps + self._together(model, run, run_is_scored)

    def positions(self, model: Recommender, examples: Sequence[Example], scored: Sequence[bool]) -> list[int | None]:
        """Score and learn examples of a model whose lists are not sent.

        Args:
            model: The model.
            examples: Examples in order.
            scored: Which examples are scored, if the protocol scores them too.

        Returns:
            The position of each, as `step_many` says.
        """
        positions: list[int | None] = []
        scored = [is_drawn and self._is_scored(self.number + n) for n, is_drawn in enumerate(scored)]
        if not self._asks_alone:
            positions = model.score_many(examples, self.protocol.depth, scored)
        for example, is_scored in zip(examples, scored, strict=True):
            if self._asks_alone:
                positions.append(self._position(model, example) if is_scored else None)
                model.score_many([example], 0, [False])
            if self._catalogue and model.repeats == "exclude":
                self._known.setdefault(example.user, set()).add(example.item)
            self.number += 1
        return positions

    def targets(self, number: int, item: str) -> Collection[str]:
        """Return the items that are a hit in the list just before an interaction.

        Args:
            number: Number of the interaction in the log, from 0.
            item: Item of the interaction.
        """
        if self.protocol.target == "next":
            return (item,)
        return dict.fromkeys(self.statistics.rest_of_session(number))

    def learn_item(self, item: str, available: bool | None) -> None:
        """Note whether an item may be recommended. None means no change."""
        if available is not None and self._catalogue:
            (self._hidden.discard if available else self._hidden.add)(item)

    def forget_one(self, user: str) -> None:
        """Remove a user."""
        self._known.pop(user, None)

    def _is_scored(self, number: int) -> bool:
        protocol = self.protocol
        if number < self._first:
            return False
        return protocol.score_every == 1 or digest(f"{protocol.seed}/{number}") % protocol.score_every == 0

    def _together(self, model: Recommender, examples: Sequence[Example], is_scored: bool) -> list[Step]:
        length = max(self.top, self.protocol.depth) if is_scored else self.top
        return [
            step._replace(
                position=step.position if is_scored else None,
                items=step.items[: self.top],
                scores=step.scores[: self.top],
            )
            for step in model.step_many(examples, length, is_scored)
        ]

    def _alone(self, model: Recommender, example: Example) -> Step:
        position = self._position(model, example)
        (step,) = model.step_many([example], self.top, False)
        return step._replace(position=position)

    def _position(self, model: Recommender, example: Example) -> int | None:
        position = None
        if bounded(example.y) > 0.0 and not (model.repeats == "exclude" and model.has_seen(example.user, example.item)):
            x = {"timestamp": example.timestamp, **(example.x or {})}
            targets = self.targets(self.number, example.item)
            listed = self._candidates(model, example, x)
            position = next((place for place, item in enumerate(listed) if item in targets), -1)
        return position

    def _candidates(self, model: Recommender, example: Example, x: Context) -> list[str]:
        if not self._catalogue:
            return [item for item, _ in model.top(example.user, self.protocol.depth, x)]
        barred = self._known.get(example.user, set()) | self._hidden
        candidates = [item for item in self._catalogue if item not in barred]
        if example.item in barred:
            candidates.append(example.item)  # hidden, but the event exists
        return model.rank(example.user, candidates, x)
