"""Arguments of the slow member."""

from dataclasses import dataclass
from typing import Final

from recmodels.validation import expect_counts, expect_numbers

INSTALL: Final = "make extra NAME=deep (in a clone), or pip install 'freshrank[deep]'"
NO_JAX: Final = f"the slow member is trained with JAX, which is not installed: {INSTALL}"


@dataclass(frozen=True)
class SlowOptions:
    """Arguments of the slow member.

    Args:
        width: Length D of the user's state and of an item's vector.
        first: Number of the event after which the first training takes its data.
        growth: Ratio of the numbers of events of two trainings.
        epochs: Number of passes of a training over its data. It bounds the cost: with a growth of 2, an event is
            trained about twice this number of times.
        least_steps: Minimum number of steps of a training.
        window: Number of interactions of the users with the newest events that a training takes.
        reservoir: Number of interactions that it takes of other users, drawn at random.
        length: Length of a training sequence.
        dropout: Share of the values that are left out while training.
        learning_rate: Learning rate of Adam.
        batch_size: Number of sequences of that length in a step. Of shorter ones it has more.
        negatives: Number of other items in the softmax of a step, if there are more.
        shadow: Number of events during which new weights are compared with those in use, and change no list.
        least_gain: Gain of the column on probation, in nats an event, from which the blend takes it. 0: it takes the
            first weights.
        swaps: Swaps to repeat, as (event of the data, event of the swap). After the last of them a training is swapped
            in at once. A live job records its swaps, so that a replay with them gives the same lists.

    >>> SlowOptions(width=32).width
    32
    >>> SlowOptions(growth=0.5)
    Traceback (most recent call last):
        ...
    ValueError: expected growth to be a number from 1.01 to 100.0; got 0.5
    """

    width: int = 64
    first: int = 1_000
    growth: float = 2.0
    epochs: int = 8
    least_steps: int = 60
    window: int = 200_000
    reservoir: int = 50_000
    length: int = 50
    dropout: float = 0.2
    learning_rate: float = 2e-3
    batch_size: int = 32
    negatives: int = 512
    shadow: int = 300
    least_gain: float = 0.01
    swaps: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Check the arguments."""
        expect_counts(width=self.width, first=self.first, epochs=self.epochs, window=self.window, length=self.length)
        expect_counts(batch_size=self.batch_size, negatives=self.negatives, shadow=self.shadow)
        expect_counts(0, least_steps=self.least_steps, reservoir=self.reservoir)
        expect_numbers(1.01, 100.0, growth=self.growth)
        expect_numbers(0.0, 0.99, dropout=self.dropout)
        expect_numbers(0.0, 10.0, least_gain=self.least_gain)
        expect_numbers(0.0, 1.0, learning_rate=self.learning_rate)
        numbers = [number for swap in self.swaps for number in swap]
        if any(len(swap) != 2 for swap in self.swaps) or numbers != sorted(numbers) or numbers[:1] == [0]:
            raise ValueError(f"expected swaps as pairs of rising numbers of events; got {self.swaps!r}")
