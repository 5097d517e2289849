"""The flow: its diagram, in code."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink

from flows.errors import UsageError
from flows.evaluation.evaluator import ProtocolEvaluator
from flows.evaluation.item_list_scorer import ItemListScorer, score_items
from flows.evaluation.stateful_metrics import StatefulMetrics, measure
from flows.evaluation.visits import visits
from flows.messages import Decided, Decoder, ItemListKind, Outgoing, Prepared, Ranked, Raw, Refresh, Rejected
from flows.monitoring.attribution import Attribution
from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.monitoring.histogram import LatencyHistogram
from flows.settings import Settings
from flows.state.roles import FIRST_ROLES, Roles
from flows.state.stateful import StatefulStep, StoreFor
from flows.steps.active_users import ActiveUsers, note_active_users
from flows.steps.ask_items import ask_items
from flows.steps.attribute import attribute
from flows.steps.clean import clean
from flows.steps.conditions import Condition
from flows.steps.dead_letters import dead_letters
from flows.steps.decode import decode
from flows.steps.emit import emit
from flows.steps.encode import encode
from flows.steps.features import features
from flows.steps.filter import filter_events
from flows.steps.item_lists import changed_lists, encode_items, lists_of_users
from flows.steps.learn import Answer, Learning, learn
from flows.steps.refresh import refresh
from flows.steps.scoring import Observer
from recmodels.base import Recommender

__all__ = ["Connections", "build_announcement", "build_flow"]

SHARD = "0"
"""The one shard: one model and the users it serves. A key for each event would be a state for each event."""


@dataclass
class Connections:
    """Source, sinks and counters of a flow."""

    source: Source[Raw]
    decoder: Decoder
    lists: Sink[tuple[str, Outgoing]]
    dead_letters: Sink[tuple[str, Any]]
    dead_letter: Callable[[Rejected], Any]
    """The form in which `dead_letters` takes a reject."""
    scores: Sink[Decided] | None = None
    """Takes every list with the position of its event's item in the list before; asking for them may cost time."""
    metrics_state: StatefulMetrics | None = None
    """Takes the place of `scores` in a replay with a recovery directory, whose state includes the metrics."""
    is_positive: Condition | None = None
    """Interactions that do not meet it are learned as not positive."""
    is_selected: Condition | None = None
    """Interactions that do not meet it are left out."""
    asker: ProtocolEvaluator | None = None
    """Decides which events are scored and how, where `scores` takes them."""
    requests_before_visits: bool = False
    """Whether a request comes before each visit (`flows.evaluation.visits`)."""
    store: StoreFor = lambda step: None
    counters: Counters = field(default_factory=Counters)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    watch: Observer | None = None
    """Observer of the model. None: there is none."""
    build_model: Callable[[], Recommender] | None = None
    """Builds the model. None: the settings do."""
    prepare_model: Callable[[Recommender, int], None] | None = None
    """Called with each model that is built, and its number in the state. None: models are used as they are."""
    challenge: Challenge = field(default_factory=Challenge)
    """Takes what is measured of a challenger, where the settings name one."""
    challenge_length: int | None = None
    """Length of the lists that count in it. None: that of the lists."""
    challenge_asker: ProtocolEvaluator | None = None
    """Decides how the challenger is scored, where `asker` decides it for the champion."""
    roles: Roles = FIRST_ROLES
    """Numbers of the champion and of the challenger in the state."""
    attribution: Attribution = field(default_factory=Attribution)
    """Takes the figures of lists and their outcomes, where the settings ask for them."""
    related: Sink[tuple[str, Outgoing]] | None = None
    """Takes the lists of related items, where the settings ask for them."""
    trending: Sink[tuple[str, Outgoing]] | None = None
    """Takes the lists of trending items, where the settings ask for them."""
    item_scores: ItemListScorer | None = None
    """Scores the lists of items; None: nobody does."""
    source_step: str = "source"
    """Id of the step of the source, under which the engine keeps its position."""
    active: ActiveUsers | None = None
    """Notes the users of the events. None: nobody does."""
    active_step: str = "active_0"
    """Id of that step."""
    peers: Source[Prepared] | None = None
    """Gives what other shards tell. None: there are none."""
    make_learner: Callable[[Learning, Counters], StatefulStep[Prepared, Answer]] | None = None
    """Makes the learner. None: that of one process."""
    is_silent: bool = False
    """Whether events are learned without their lists: only tombstones of erased users are sent."""


def build_flow(settings: Settings, connections: Connections) -> Dataflow:
    """Connect the steps. Step ids name stored state: one that is renamed loses its own."""
    s, counters, store = settings, connections.counters, connections.store
    flow = Dataflow("freshrank")

    raw = op.input(connections.source_step, flow, connections.source)
    decoded = decode("decode", raw, connections.decoder, counters)
    dead_letters("dead_letters", decoded.rejected, connections.dead_letter, connections.dead_letters)

    selected = (
        decoded.events
        if connections.is_selected is None
        else filter_events("where", decoded.events, connections.is_selected, counters)
    )
    events = op.flat_map_batch("shard", selected, lambda batch: [(SHARD, event) for event in batch])
    fresh = clean("clean", events, s.cleaning(), counters, store)
    examples = features("features", fresh, s.meaning(connections.is_positive), counters, store)
    if connections.requests_before_visits:
        examples = visits("visits", examples)
    if s.makes_requests:
        examples = refresh("refresh", examples, s.refreshing(), store)
    if connections.active is not None:
        examples = note_active_users(connections.active_step, examples, connections.active, store)
    makes_item_lists = s.makes_item_lists and not connections.is_silent
    if makes_item_lists:
        examples = ask_items("ask_items", examples, s.item_lists(), store)
    if connections.peers is not None:
        told = op.input("peers", flow, connections.peers)
        of_peers = op.flat_map_batch("of_peers", told, lambda batch: [(SHARD, each) for each in batch])
        examples = op.merge("with_peers", examples, of_peers)
    answers = _learn(s, connections, examples)
    ranked = cast("KeyedStream[Ranked]", answers)  # there is nothing else where no lists of items are asked for
    if makes_item_lists:
        ranked = lists_of_users("of_users", answers)
        _send_items(s, connections, answers)
    lists = _emit(s, connections, ranked)
    decided = op.flat_map_batch("unshard", lists, lambda batch: [decided for _, decided in batch])
    _send(s, connections, decided)
    if connections.metrics_state is not None:
        measure("measures", lists, connections.metrics_state, store)
    elif connections.scores is not None:
        op.output("scores", decided, connections.scores)
    return flow


def build_announcement(
    settings: Settings, connections: Connections, step_id: str, requests: Source[Refresh]
) -> Dataflow:
    """Make lists without events, and send them: those of users whose events were learned silently.

    The steps and their states are those of `build_flow`.

    Args:
        settings: Everything.
        connections: The sinks, the counters and the state. Their source is not used.
        step_id: Id of the step of the source.
        requests: The lists to make.
    """
    flow = Dataflow("freshrank")
    asked = op.input(step_id, flow, requests)
    examples = op.flat_map_batch("shard", asked, lambda batch: [(SHARD, Prepared(each, None)) for each in batch])
    ranked = cast("KeyedStream[Ranked]", _learn(settings, connections, examples))
    lists = _emit(settings, connections, ranked)
    _send(settings, connections, op.flat_map_batch("unshard", lists, lambda batch: [decided for _, decided in batch]))
    return flow


def _learn(settings: Settings, connections: Connections, examples: KeyedStream[Prepared]) -> KeyedStream[Answer]:
    asked = settings.learning(
        score=connections.scores is not None or connections.metrics_state is not None,
        watch=connections.watch,
        asker=connections.asker,
        challenging=settings.challenging(
            connections.challenge, connections.challenge_length, connections.challenge_asker
        ),
        roles=connections.roles,
        is_silent=connections.is_silent,
    )
    if connections.build_model is not None:
        asked = replace(asked, build_model=connections.build_model)
    if (prepare := connections.prepare_model) is not None:
        roles, challenging = connections.roles, asked.challenging
        asked = replace(asked, build_model=_prepared(asked.build_model, prepare, roles.champion))
        if challenging is not None:
            build = _prepared(challenging.build_model, prepare, roles.challenger)
            asked = replace(asked, challenging=replace(challenging, build_model=build))
    return learn("learn", examples, asked, connections.counters, connections.store, connections.make_learner)


def _prepared(
    build: Callable[[], Recommender], prepare: Callable[[Recommender, int], None], number: int
) -> Callable[[], Recommender]:
    """Return a function that builds a model and prepares it."""

    def built() -> Recommender:
        model = build()
        prepare(model, number)
        return model

    return built


def _emit(settings: Settings, connections: Connections, ranked: KeyedStream[Ranked]) -> KeyedStream[Decided]:
    store = connections.store
    lists = emit("emit", ranked, settings.emission(), connections.counters, store)
    if settings.attribution_window and not connections.is_silent:
        asked = settings.attributing(connections.roles)
        attribute("attribution", lists, asked, connections.attribution, store)
    return lists


def _send(settings: Settings, connections: Connections, decided: Stream[Decided]) -> None:
    version, counters = settings.model_info.version, connections.counters
    messages = encode("encode", decided, version, settings.top, counters, connections.latency)
    op.output("sink", messages, connections.lists)


def _send_items(settings: Settings, connections: Connections, answers: KeyedStream[Answer]) -> None:
    """Send the lists that belong to no user."""
    scorer, version = connections.item_scores, settings.model_info.version
    changed = changed_lists("items", answers, connections.counters, connections.store, scorer is not None)
    sinks: dict[ItemListKind, Sink[tuple[str, Outgoing]] | None] = {
        "related": connections.related,
        "trending": connections.trending,
    }
    for kind, sink in sinks.items():
        if getattr(settings, kind):
            if sink is None:
                raise UsageError(
                    f"setting {kind}: expected a connector with a sink for {kind} items; {settings.connector} gives "
                    f"none. Set {kind} to 0, or give its connections a sink `{kind}`."
                )
            op.output(f"{kind}_sink", encode_items(f"encode_{kind}", changed, kind, version), sink)
    if scorer is not None:
        score_items("item_measures", changed, scorer, connections.store)
