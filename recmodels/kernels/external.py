"""Event loop and inference in parts, so that external members, which are not kernels, can act in between."""

import numpy as np

from recmodels.kernels import event_loop, inference
from recmodels.kernels.compile import entry
from recmodels.kernels.layout import Float32, Float64, Int32
from recmodels.kernels.state_pointer import opened


@entry
def fill_candidates(address: int, user: int, least: int) -> None:
    """Make the user's candidate set, as `event_loop.fill_candidates` does. The caller fills the external
    columns next, so the scores are marked as not computed.
    """
    state = opened(address)
    event_loop.fill_candidates(state, user, least)
    state.shared.candidates.scored[0] = 0


@entry
def score_and_learn(
    address: int, user: int, item: int, reward: float, time: float, kind: int, wanted: int
) -> tuple[int, float]:
    """Call `event_loop.score_and_learn`."""
    return event_loop.score_and_learn(opened(address), user, item, reward, time, kind, wanted)


@entry
def write_list(address: int, user: int, time: float, places: Int32, list_items: Int32, list_scores: Float64) -> int:
    """Call `event_loop.write_list`."""
    return event_loop.write_list(opened(address), user, time, places, list_items, list_scores)


@entry
def log_denominator(address: int, user: int, time: float) -> np.float32:
    """Call `inference.log_denominator`."""
    return inference.log_denominator(opened(address), user, time)


@entry
def admit(address: int, user: int, item_rows: Int32) -> None:
    """Call `inference.admit`."""
    inference.admit(opened(address), user, item_rows)


@entry
def score_admitted(
    address: int, user: int, time: float, log_total: np.float32, item_rows: Int32, scores: Float32
) -> None:
    """Call `inference.score_admitted`."""
    inference.score_admitted(opened(address), user, time, log_total, item_rows, scores)
