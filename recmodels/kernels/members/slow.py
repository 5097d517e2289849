"""Slow member: a recurrent net over the user's items, whose weights are trained beside the stream and swapped in.

The user's state h [D] is that of a gated recurrent unit over the items so far:

    x = vector(item) · input + bias         y = h · back         (3D numbers each: for z, r and n)
    z, r = sigmoid(x + y)                   n = tanh(x + r * y)           h' = (1 - z) * h + z * n

A candidate's logit is the product of its vector with a linear map of h, plus a bias. The column is the distance of the
logit from the mean over the candidates, in standard deviations:

    logit(j) = (h · out + out bias) · vector(j) + bias(j)

At first the column is on *probation*. No list and no other weight sees it, so lists are those of a blend without the
member. The shares p(j) of the candidates are compared with those that the column would have made of them. Its weight w
is learned here, on the same events:

    q(j) = p(j) * exp(w * column(j)) / sum over i of p(i) * exp(w * column(i))
    gain = log q(item) - log p(item)

Once the decayed mean of the gain is large enough, the blend takes the column, and learns its weights for it.

Nothing here trains: weights come from `recmodels.slow`. An item that came later has the mean of the vectors of the
items that its users had just before. There are two slots of weights: one in use, and one in *shadow*. Weights in shadow
are compared by their loss with those in use, and change no list.

Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014. For recommendation: Hidasi et
al., Session-based Recommendations with Recurrent Neural Networks, ICLR 2016.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.layout import Argument, Column, Float32, Float64, Int32, Int64, Marks, Rows, Scratch, Stored
from recmodels.kernels.member import Member
from recmodels.kernels.prefetch import PREFETCH_DISTANCE, prefetch
from recmodels.kernels.reductions import dot
from recmodels.kernels.shared import CANDIDATES, Candidates, Event, Shared, Undone
from recmodels.kernels.vectors import copy, exp, multiply

SLOTS: Final = 2
"""Number of sets of weights: the one in use, and the one in shadow."""
CONTEXT: Final = 32
"""Number of items of a history from which a state is computed anew, after a swap."""
CO_VISITED: Final = 5
"""Number of a user's last items whose mean a new item's vector gets."""
TRAINED: Final = np.int32(-1)
"""Count of an item whose vector was trained."""
MOST_SEEN: Final = np.int32(1_000)
"""Bound on the count of events of a new item, so that its vector keeps moving."""
LARGEST: Final = np.float32(4.0)
"""Bound on the column, in standard deviations."""

# Indices of `SlowState.clock`.
ACTIVE: Final = 0
"""The slot in use."""
IN_SHADOW: Final = 1
"""1 while the other slot is in shadow."""
GENERATION: Final = 2
"""Number of the weights in use, from 1. 0: there are none yet."""
NEXT: Final = 3
"""Number of the event after which the next training takes its data."""
ASKED: Final = 4
"""Number of the event after which the data of the training at work were taken. 0: none is at work."""
DIGEST: Final = 5
"""The first 8 bytes of the digest of these data."""
DATA_OF_ACTIVE: Final = 6
"""Number of the event after which the data of the weights in use were taken."""
DATA_OF_SHADOW: Final = 7
SHADOW_ENDS: Final = 8
"""Number of the event after which it is decided on the weights in shadow."""
SWAPPED: Final = 9
"""Number of swaps in `SlowState.swaps`."""
PROMOTED: Final = 10
"""Number of weights that came through shadow."""
ROLLED_BACK: Final = 11
"""Number of weights that did not."""
TRUSTED: Final = 12
"""1 once the blend has taken the column. 0: it is on probation."""
TRIED: Final = 13
"""Number of events that have been compared on probation."""
CLOCK: Final = 16

# Indices of `SlowState.loss`.
SUM_ACTIVE: Final = 0
SUM_SHADOW: Final = 1
"""Sums of the losses in shadow of the weights in use, and of those in shadow."""
SCORED: Final = 2
"""Number of events in these sums."""
OF_TRAINING: Final = 3
"""Loss at the end of the last training."""
SMOOTHED: Final = 4
"""Decayed mean of the loss of the weights in use. 0: not known yet."""
TRIED_WEIGHT: Final = 5
"""Weight of the column on probation, at least 0."""
TRIED_CURVATURE: Final = 6
"""Decayed sum of the squared slopes of this weight."""
GAIN: Final = 7
"""Decayed mean of the gain on probation, in nats an event."""
LOSSES: Final = 8
SMOOTHING: Final = 0.002
"""Weight of the newest event in `SMOOTHED`."""

LEAST_TRIED: Final = 300
"""Least number of events that are compared on probation."""
FIRST_CURVATURE: Final = 10.0
KEEP: Final = 0.9999
"""Start and decay of the curvature, as those of the blend's own weights (`recmodels.kernels.newton`)."""

SWAPS: Final = 64
"""Number of swaps that are kept, the newest."""


class SlowItems(NamedTuple):
    """A row for each item."""

    vector: Annotated[Float32, Column("slow_slots", "slow_width")]
    """[items, SLOTS, D]"""
    bias: Annotated[Float32, Column("slow_slots")]
    """[items, SLOTS]"""
    seen: Annotated[Int32, Column("slow_slots", key="count")]
    """[items, SLOTS] `TRAINED`, or the number of events of which `vector` is a mean."""
    dirty: Marks


class SlowUsers(NamedTuple):
    """A row for each user."""

    hidden: Annotated[Float32, Column("slow_width")]
    """[users, D] the state."""
    generation: Annotated[Int32, Column("slow_one")]
    """[users, 1] the weights that the state is of. If they are no longer in use, the state is computed anew."""
    dirty: Marks


class SlowState(NamedTuple):
    """Weights and states. Nothing has a length in a model without this member."""

    items: Annotated[SlowItems, Rows("items", key="slow_items")]
    users: Annotated[SlowUsers, Rows("users", key="slow_users")]
    input: Annotated[Float32, Stored("slow_slots", "slow_width", "slow_gates", key="slow_input")]
    """[SLOTS, D, 3D] from an item's vector to the gates."""
    back: Annotated[Float32, Stored("slow_slots", "slow_width", "slow_gates", key="slow_back")]
    """[SLOTS, D, 3D] from the state to the gates."""
    gate_bias: Annotated[Float32, Stored("slow_slots", "slow_gates", key="slow_gate_bias")]
    """[SLOTS, 3D]"""
    out: Annotated[Float32, Stored("slow_slots", "slow_width", "slow_width", key="slow_out")]
    """[SLOTS, D, D] from the state to the space of the vectors."""
    out_bias: Annotated[Float32, Stored("slow_slots", "slow_width", key="slow_out_bias")]
    """[SLOTS, D]"""
    start: Annotated[Float32, Stored("slow_slots", "slow_width", key="slow_start")]
    """[SLOTS, D] the state of a user without history."""
    clock: Annotated[Int64, Stored("slow_clock", key="slow_clock")]
    """[CLOCK] see the indices above."""
    loss: Annotated[Float64, Stored("slow_losses", key="slow_loss")]
    """[LOSSES] see the indices above."""
    swaps: Annotated[Int64, Stored("slow_swaps", 2, key="slow_swaps")]
    """[SWAPS, 2] for each swap the numbers of the events after which the data were taken, and the weights came."""
    hidden: Annotated[Float32, Scratch("slow_width")]
    gates: Annotated[Float32, Scratch("slow_gates")]
    backed: Annotated[Float32, Scratch("slow_gates")]
    query: Annotated[Float32, Scratch("slow_width")]
    recent: Annotated[Int32, Scratch(CONTEXT)]
    logit: Annotated[Float32, Scratch("slow_slots", CANDIDATES)]
    """[SLOTS, CANDIDATES] the logits of both slots."""
    column: Annotated[int, Argument("column")]
    least_gain: Annotated[float, Argument("slow_least_gain")]
    """Gain at which the probation ends. Below it the column says little that others do not say, and costs hits."""


def widths(width: int) -> dict[str, int]:
    """Return the lengths of the layout by name. All are 0 in a model without the member.

    Args:
        width: Length D of a state and of a vector. 0: the model does not have the member.
    """
    lengths = {"slow_slots": SLOTS, "slow_gates": 3 * width, "slow_one": 1, "slow_clock": CLOCK}
    lengths |= {"slow_losses": LOSSES, "slow_swaps": SWAPS}
    return {"slow_width": width} | (lengths if width else dict.fromkeys(lengths, 0))


@kernel
def advance(slow: SlowState, slot: int, item: int) -> None:
    """Move the state in `hidden` by an item of the user. An item without a vector changes nothing."""
    if slow.items.seen[item, slot] == 0:
        return
    hidden, gates, backed = slow.hidden, slow.gates, slow.backed
    width = hidden.shape[0]
    copy(slow.gate_bias[slot], gates)
    multiply(slow.items.vector[item, slot], slow.input[slot], gates)
    backed[:] = 0.0
    multiply(hidden, slow.back[slot], backed)
    one = np.float32(1.0)
    for k in range(2 * width):
        gates[k] = one / (one + exp(-(gates[k] + backed[k])))
    for k in range(width):
        inner = gates[2 * width + k] + gates[width + k] * backed[2 * width + k]
        new = one - np.float32(2.0) / (one + exp(np.float32(2.0) * inner))  # tanh
        hidden[k] += gates[k] * (new - hidden[k])


@kernel
def compute_state(slow: SlowState, shared: Shared, user: int, slot: int) -> None:
    """Write the user's state into `hidden`, from the last items of the history."""
    copy(slow.start[slot], slow.hidden)
    history, count = shared.history, 0
    cell = shared.users.newest[user]
    while cell > 0 and count < CONTEXT:
        if history.amount[cell] > 0.0:
            slow.recent[count] = history.item[cell]
            count += 1
        cell = history.next[cell]
    for k in range(count):
        advance(slow, slot, int64(slow.recent[count - 1 - k]))


@kernel
def find_state(slow: SlowState, shared: Shared, user: int) -> None:
    """Write the user's state by the weights in use into `hidden`."""
    if slow.users.generation[user, 0] == slow.clock[GENERATION]:
        copy(slow.users.hidden[user], slow.hidden)
    else:
        compute_state(slow, shared, user, int64(slow.clock[ACTIVE]))


@kernel
def fill(slow: SlowState, candidates: Candidates, slot: int) -> None:
    """Write the logits of the candidates by the state in `hidden`. An item without a vector has their mean."""
    query, items, logit, size = slow.query, slow.items, slow.logit[slot], candidates.size[0]
    width = int64(query.shape[0])
    copy(slow.out_bias[slot], query)
    multiply(slow.hidden, slow.out[slot], query)
    total, known = np.float64(0.0), 0
    for s in range(size):
        item = candidates.item[s]
        if s + PREFETCH_DISTANCE < size:
            prefetch(items.vector, candidates.item[s + PREFETCH_DISTANCE])
            prefetch(items.seen, candidates.item[s + PREFETCH_DISTANCE])
        if items.seen[item, slot] != 0:
            logit[s] = dot(query, items.vector[item, slot], width) + items.bias[item, slot]
            total += logit[s]
            known += 1
    mean = np.float32(total / max(known, 1))
    for s in range(size):
        if items.seen[candidates.item[s], slot] == 0:
            logit[s] = mean


@kernel
def score(slow: SlowState, shared: Shared, user: int) -> None:
    """Fill the column, and the logits of the weights in shadow."""
    candidates, clock = shared.candidates, slow.clock
    column, size = candidates.column[slow.column], candidates.size[0]
    candidates.inactive[slow.column] = clock[TRUSTED] == 0
    if clock[GENERATION] == 0:
        column[:size] = 0.0
        return
    slot = int64(clock[ACTIVE])
    find_state(slow, shared, user)
    fill(slow, candidates, slot)
    standardise(slow.logit[slot], column, size)
    if clock[IN_SHADOW] > 0:
        compute_state(slow, shared, user, 1 - slot)
        fill(slow, candidates, 1 - slot)


@kernel
def standardise(logit: Float32, column: Float32, size: int) -> None:
    """Write the distance of each logit from the mean, in standard deviations."""
    total, squares = np.float64(0.0), np.float64(0.0)
    for s in range(size):
        total += logit[s]
    mean = np.float32(total / max(size, 1))
    for s in range(size):
        squares += (logit[s] - mean) * (logit[s] - mean)
    part = np.float32(1.0 / np.sqrt(squares / max(size, 1) + 1e-6))
    for s in range(size):
        column[s] = min(max((logit[s] - mean) * part, -LARGEST), LARGEST)


@kernel
def loss_of(logit: Float32, target: int, size: int) -> float:
    """Return minus the logarithm of the target's share in the softmax of logits."""
    highest, total = logit[target], np.float64(0.0)
    for s in range(size):
        highest = max(highest, logit[s])
    for s in range(size):
        total += exp(logit[s] - highest)
    return np.float64(np.log(total) + highest - logit[target])


@kernel
def compare(slow: SlowState, candidates: Candidates, target: int) -> None:
    """Compare the shares of the candidates with those that the column would make of them, and take a Newton step."""
    clock, loss, column, size = slow.clock, slow.loss, candidates.column[slow.column], candidates.size[0]
    weight = np.float32(loss[TRIED_WEIGHT])
    total, mean = np.float64(0.0), np.float64(0.0)
    for s in range(size):
        part = candidates.share[s] * exp(weight * column[s])
        total += part
        mean += part * column[s]
    gain = weight * column[target] - np.log(max(total, 1e-9))
    slope = column[target] - mean / max(total, 1e-9)
    clock[TRIED] += 1
    loss[GAIN] += (gain - loss[GAIN]) * max(SMOOTHING, 1.0 / clock[TRIED])
    loss[TRIED_CURVATURE] = KEEP * max(loss[TRIED_CURVATURE], FIRST_CURVATURE) + slope * slope
    loss[TRIED_WEIGHT] = min(max(loss[TRIED_WEIGHT] + slope / loss[TRIED_CURVATURE], 0.0), LARGEST)
    if clock[TRIED] >= LEAST_TRIED and loss[GAIN] >= slow.least_gain:
        clock[TRUSTED] = 1


@kernel
def learn(slow: SlowState, shared: Shared, event: Event) -> None:
    """Move the user's state by the item, note the losses, and move the vector of an item that is new."""
    clock, loss = slow.clock, slow.loss
    if clock[GENERATION] == 0:
        return
    slot, in_shadow = int64(clock[ACTIVE]), clock[IN_SHADOW] > 0
    if event.target >= 0:
        size = int64(shared.candidates.size[2])
        if clock[TRUSTED] == 0:
            compare(slow, shared.candidates, event.target)
        active = loss_of(slow.logit[slot], event.target, size)
        loss[SMOOTHED] = active if loss[SMOOTHED] == 0.0 else loss[SMOOTHED] + SMOOTHING * (active - loss[SMOOTHED])
        if in_shadow:
            loss[SUM_ACTIVE] += active
            loss[SUM_SHADOW] += loss_of(slow.logit[1 - slot], event.target, size)
            loss[SCORED] += 1.0
    move_new(slow, shared, event.user, event.item, slot)
    if in_shadow:
        move_new(slow, shared, event.user, event.item, 1 - slot)
    find_state(slow, shared, event.user)
    advance(slow, slot, event.item)
    copy(slow.hidden, slow.users.hidden[event.user])
    slow.users.generation[event.user, 0] = clock[GENERATION]
    slow.users.dirty[event.user] = 1


@kernel
def move_new(slow: SlowState, shared: Shared, user: int, item: int, slot: int) -> None:
    """Add the mean of the user's last items to the mean that is the vector of a new item."""
    items, recent, mean = slow.items, shared.users.recent, slow.query
    if items.seen[item, slot] == TRAINED:
        return
    mean[:] = 0.0
    found = 0
    for p in range(min(CO_VISITED, recent.shape[1])):
        row = recent[user, p]
        if row == 0:
            break
        if items.seen[row, slot] == TRAINED:
            for k in range(mean.shape[0]):
                mean[k] += items.vector[row, slot, k]
            found += 1
    if found == 0:
        return
    items.seen[item, slot] = min(items.seen[item, slot] + 1, MOST_SEEN)
    part = np.float32(1.0) / np.float32(items.seen[item, slot])
    for k in range(mean.shape[0]):
        items.vector[item, slot, k] += part * (mean[k] / np.float32(found) - items.vector[item, slot, k])
    items.dirty[item] = 1


@kernel
def take_back(slow: SlowState, shared: Shared, undone: Undone) -> None:
    """Have the user's state computed anew from the history, which will not have the interaction any more."""
    slow.users.generation[undone.user, 0] = 0
    slow.users.dirty[undone.user] = 1


MEMBER: Final = Member(
    name="slow",
    state=SlowState,
    columns=("slow",),
    says="logit of a recurrent net over the user's items, in standard deviations from the mean of the candidates",
    score=score,
    learn=learn,
    take_back=take_back,
)
