"""Time of each part of the inner loop, in the order of an event's path."""

import time
from collections.abc import Sequence

import numpy as np

from bench.process import answer, child, real_log
from bench.report import Section, main, shown, table
from flows.files.open_log import open_log
from flows.messages import Interaction
from recmodels import Blend, Example
from recmodels.kernels import candidates as candidate_set
from recmodels.kernels import history as histories
from recmodels.kernels import reranker, topn, user_context, weights
from recmodels.kernels.compile import entry, int64
from recmodels.kernels.event_loop import MIN_CANDIDATES
from recmodels.kernels.layout import Int32
from recmodels.kernels.members import age, covisitation, factorization, history, popularity, predecessors
from recmodels.kernels.members.factorization import FactorizationState
from recmodels.kernels.shared import EVENTS, ITEM_ROWS, Event
from recmodels.kernels.state_pointer import opened

STAGES = (
    "bar what the user has had",
    "co-visitation proposes",
    "predecessors propose",
    "popularity proposes",
    "history proposes, fill up",
    "popularity scores",
    "co-visitation scores",
    "history scores",
    "factorisation scores",
    "predecessors score",
    "age scores",
    "weights unite the columns",
    "the net reranks the top",
    "choose the list",
    "softmax",
    "weights learn",
    "the net learns",
    "factorisation learns",
    "co-visitation, popularity, history learn",
    "predecessors and age learn",
)
READS = 14
"""Number of stages that do not change the model."""


def measure(quick: bool) -> Section:
    """Time the stages on a model that has learned a log."""
    section = Section("The kernels: µs for each part of an event, ml-100k", "python -m bench.kernels")
    log = real_log("ml-100k")
    if log is None:
        section.notes.append("Skipped: the log ml-100k is not here; set FRESHRANK_DATA to the folder that holds it.")
        return section
    found = child("bench.kernels", "child", log, 10_000 if quick else 50_000)
    section.notes = [
        stage_table({"ml-100k": found["stages"]}),
        f"CPU time over the users of the last 2,000 of {found['events']:,} events, the best of five rounds, each stage "
        "being the difference between running up to it and up to the one before; so caches are as the driver finds "
        f"them. A list is chosen from {found['candidates']:.0f} candidates, and is the one that `top` gives. An event "
        "goes through all of it once, and through the first fourteen lines a second time for the new list, unless the "
        "next event is the same user's, who then has a candidate set already.",
        table(
            ("events in one call of `step_many`", "µs an event"),
            [(batch, shown(us)) for batch, us in found["batches"].items()],
        ),
        "What a larger call saves is the call itself, and making and reading a dozen small arrays.",
    ]
    return section


def stage_table(columns: dict[str, Sequence[float]]) -> str:
    """Return a table of the stages of one or more models, in µs."""
    sums = [("sum", *(shown(sum(values)) for values in columns.values()))]
    rows = [(stage, *(shown(values[k]) for values in columns.values())) for k, stage in enumerate(STAGES)]
    return table(("µs", *columns), [*rows, *sums])


def time_stages(model: Blend, user_rows: Int32, item_rows: Int32) -> list[float]:
    """Time every stage over these users. The last stages learn these items."""
    address, places = model.memory.handle.address, np.zeros(10, np.int32)
    best = []
    for upto in range(1, len(STAGES) + 1):
        run_stages(address, user_rows[:1], item_rows[:1], places, upto)
        seconds = []
        for _ in range(5):
            start = time.process_time()
            run_stages(address, user_rows, item_rows, places, upto)
            seconds.append(time.process_time() - start)
        best.append(min(seconds) / len(user_rows) * 1e6)
    model.memory.state.shared.candidates.epoch[1] = 0
    return [max(b - a, 0.0) for a, b in zip([0.0, *best], best, strict=False)]


def check_lists(model: Blend, user_rows: Int32, item_rows: Int32) -> float:
    """Compare the lists of the stages with those of `top`, and return the mean number of candidates."""
    state, places = model.memory.state, np.zeros(10, np.int32)
    names, sizes = model.memory.items.names, []
    for row, item in zip(user_rows[:200], item_rows, strict=False):
        run_stages(model.memory.handle.address, np.array([row]), np.array([item]), places, READS)
        listed = [names[state.shared.candidates.item[place]] for place in places]
        sizes.append(int(state.shared.candidates.size[0]))
        state.shared.candidates.epoch[1] = 0
        assert listed == [name for name, _ in model.top(str(model.memory.users.names[row]), 10)]
    return float(np.mean(sizes))


@entry
def run_stages(address: int, user_rows: Int32, item_rows: Int32, places: Int32, upto: int) -> None:
    """Run the first `upto` stages for each user, as `event_loop.process_batch` does."""
    state = opened(address)
    shared, own = state.shared, state.factorization
    candidates = shared.candidates
    still = FactorizationState(
        own.items,
        own.users,
        own.sent,
        own.origin,
        own.user_vector,
        own.gradient,
        own.moved,
        own.error,
        own.along,
        own.bias_step,
        0.0,
        own.decay,
        own.regularization,
        own.column,
    )
    for e in range(user_rows.shape[0]):
        user, item = user_rows[e], item_rows[e]
        event = Event(user, item, 1.0, 0.0, shared.counters[EVENTS], 0, False)
        candidate_set.start(candidates)
        if shared.options.exclude_seen:
            histories.exclude(shared, user)
        if upto >= 2:
            covisitation.propose(state.covisitation, shared, user)
        if upto >= 3:
            predecessors.propose(state.predecessors, shared, user)
        if upto >= 4:
            popularity.propose(state.popularity, shared, user)
        if upto >= 5:
            history.propose(state.history, shared, user)
            candidate_set.fill_up(candidates, shared.items, shared.counters[ITEM_ROWS], MIN_CANDIDATES)
            candidates.size[2] = candidates.size[0]
        if upto >= 6:
            popularity.score(state.popularity, shared, user)
        if upto >= 7:
            covisitation.score(state.covisitation, shared, user)
        if upto >= 8:
            history.score(state.history, shared, user)
        if upto >= 9:
            factorization.score(own, shared, user)
        if upto >= 10:
            predecessors.score(state.predecessors, shared, user)
        if upto >= 11:
            age.score(state.age, shared, user)
        length, gap = (
            user_context.length_context(shared.users, user),
            user_context.next_gap_context(shared.users, user),
        )
        if upto >= 12:
            weights.score(state.weights, length, gap, candidates)
        if upto >= 13:
            reranker.score(state.reranker, length, gap, candidates)
        if upto >= 14:
            topn.choose(shared.items, candidates, places)
        if upto >= 15:
            weights.share(candidates)
        if upto >= 16:
            weights.learn(state.weights, length, gap, places[0], 0.0, candidates)
        if upto >= 17:
            reranker.learn(state.reranker, length, gap, int64(places[0]), candidates)
        if upto >= 18:
            factorization.learn(still, shared, event)
        if upto >= 19:
            covisitation.learn(state.covisitation, shared, event)
            popularity.learn(state.popularity, shared, event)
            histories.learn(shared, user, item, 1.0)
        if upto >= 20:
            predecessors.learn(state.predecessors, shared, event)
            age.learn(state.age, shared, event)


def learn_log(log: str, count: int) -> tuple[Blend, list[Example]]:
    """Learn `count` events, and return the model and the next 2,000 events."""
    source, decoder = open_log(log, limit=count + 2_000)
    part = source.build_part("bench", "log", None)
    examples: list[Example] = []
    while len(examples) < count + 2_000:
        for raw in part.next_batch():
            event = decoder(raw, 0.0)
            assert isinstance(event, Interaction)
            examples.append(Example(event.user, event.item, 1.0, event.timestamp))
    model = Blend(repeats="exclude")
    for start in range(0, count, 1_000):
        model.step_many(examples[start : min(start + 1_000, count)])
    return model, examples[count:]


def time_batches(model: Blend, examples: list[Example]) -> dict[str, float]:
    """Time `step_many` by batch size, on consecutive events."""
    found = {}
    for batch in (1, 8, 64, 1_000):
        start = time.process_time()
        lists = sum(len(model.step_many(examples[k : k + batch])) for k in range(0, len(examples), batch))
        assert lists == len(examples)
        found[str(batch)] = (time.process_time() - start) / len(examples) * 1e6
    return found


def count_all(log: str, events: int) -> dict[str, object]:
    """Measure everything on one model."""
    model, following = learn_log(log, events)
    batches = time_batches(model, following)
    rows = model.memory.users.rows, model.memory.items.rows
    user_rows = np.array([rows[0][example.user] for example in following], np.int32)
    item_rows = np.array([rows[1][example.item] for example in following], np.int32)
    candidates = check_lists(model, user_rows, item_rows)
    stages = time_stages(model, user_rows, item_rows)
    return {"stages": stages, "candidates": candidates, "events": events, "batches": batches}


if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == ["child"]:
        answer(count_all(sys.argv[2], int(sys.argv[3])))
    else:
        main(measure)
