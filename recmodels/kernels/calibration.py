"""Platt scaling of the softmax: turns a candidate's share into a probability, learned online by length of history.

    p(j) = 1 / (1 + exp(-(slope * z(j) + offset)))          z(j) = log(share(j) / (1 - share(j)))

The softmax sums to 1 over the candidates, but the next item may not be one of them. The model is also slightly
overconfident. So after each event, slope and offset take one AdaGrad step on the log loss of the top items of the list
made just before. The slope stays above 0, so the order does not change.

Source: Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin Classifiers, 1999.
"""

from typing import Final

import numpy as np

from recmodels.kernels.compile import kernel
from recmodels.kernels.layout import Int32
from recmodels.kernels.shared import Candidates
from recmodels.kernels.state import CalibrationState

LEARNING_RATE: Final = 0.2
FIRST_SQUARES: Final = 1.0
"""Initial sum of squared gradients of slope and offset."""
LEAST_SLOPE: Final = 0.1
LARGEST_PARAMETER: Final = 10.0
"""Bound on the absolute value of slope and offset."""
SMALLEST_SHARE: Final = 1e-12


@kernel
def log_odds(share: float) -> float:
    """Return log(share / (1 - share)), bounded."""
    share = min(max(share, SMALLEST_SHARE), 1.0 - 1e-6)
    return np.log(share / (1.0 - share))


@kernel
def probability(calibration: CalibrationState, length: int, share: float) -> float:
    """Return the probability that the next item is one with this share of the softmax, in the context `length`.

    Args:
        calibration: Slope and offset by length of history.
        length: Context of the user's number of events.
        share: The candidate's share of the softmax, from 0 to 1.
    """
    slope, offset = calibration.platt[length, 0], calibration.platt[length, 1]
    return 1.0 / (1.0 + np.exp(-(slope * log_odds(share) + offset)))


@kernel
def learn(
    calibration: CalibrationState, length: int, target: int, places: Int32, kept: int, candidates: Candidates
) -> None:
    """Learn from the item that the user chose after a list.

    Args:
        calibration: Slope and offset by length of history.
        length: The context of the user's number of events.
        target: The slot of the item that the user chose, or -1.
        places: [CALIBRATED_ITEMS] the slots of the list's items.
        kept: The number of items in the list.
        candidates: The user's set, with its shares.
    """
    platt, squares = calibration.platt[length], calibration.squares[length]
    slope_gradient, offset_gradient = 0.0, 0.0
    for k in range(kept):
        share = candidates.share[places[k]]
        chosen = 1.0 if places[k] == target else 0.0
        error = chosen - probability(calibration, length, share)
        slope_gradient += error * log_odds(share)
        offset_gradient += error
    squares[0] += slope_gradient * slope_gradient
    squares[1] += offset_gradient * offset_gradient
    platt[0] = min(
        max(platt[0] + LEARNING_RATE * slope_gradient / np.sqrt(squares[0] + FIRST_SQUARES), LEAST_SLOPE),
        LARGEST_PARAMETER,
    )
    platt[1] = min(
        max(platt[1] + LEARNING_RATE * offset_gradient / np.sqrt(squares[1] + FIRST_SQUARES), -LARGEST_PARAMETER),
        LARGEST_PARAMETER,
    )
