"""The flow: its diagram, in code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from flows.clean import clean
from flows.dead_letters import dead_letters
from flows.decode import Decoder, decode
from flows.emit import emit
from flows.encode import encode
from flows.features import features
from flows.kept import StoreFor
from flows.latency import LatencyHistogram
from flows.learn import learn
from flows.messages import Decided, Outgoing, Raw, Rejected
from flows.refresh import refresh
from flows.settings import Settings
from flows.tally import Tally

SHARD = "0"
"""The one shard: one model and the users it serves. A key for each event would be a state for each event."""


@dataclass
class Ends:
    """What a flow is connected to, and where it counts."""

    source: Source[Raw]
    decoder: Decoder
    lists: Sink[tuple[str, Outgoing]]
    dead_letters: Sink[tuple[str, Any]]
    dead_letter: Callable[[Rejected], Any]
    """The form in which `dead_letters` takes a reject."""
    scores: Sink[Decided] | None = None
    """Takes every list with the position of its event's item in the list before; asking for them may cost time."""
    store: StoreFor = lambda step: None
    tally: Tally = field(default_factory=Tally)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)


def build_flow(settings: Settings, ends: Ends) -> Dataflow:
    """Connect the steps. Step ids name stored state: one that is renamed loses its own."""
    s, tally, store = settings, ends.tally, ends.store
    flow = Dataflow("freshrank")

    raw = op.input("source", flow, ends.source)
    decoded = decode("decode", raw, ends.decoder)
    dead_letters("dead_letters", decoded.rejected, tally, ends.dead_letter, ends.dead_letters)

    events = op.key_on("shard", decoded.events, lambda event: SHARD)
    fresh = clean("clean", events, s.dedup_window, tally, store)
    examples = features("features", fresh, s.rewards, s.by_value)
    asked = refresh("refresh", examples, s.refresh, s.refreshes, s.strangers, s.max_users, store)
    ranked = learn("learn", asked, s.build_model, s.top, ends.scores is not None, tally, store)
    lists = emit("emit", ranked, s.emit, s.emit_interval, s.max_users, s.min_score, tally, store)
    decided = op.key_rm("unshard", lists)

    messages = encode("encode", decided, s.model_version, s.top, tally, ends.latency)
    op.output("sink", messages, ends.lists)
    if ends.scores is not None:
        op.output("scores", decided, ends.scores)
    return flow


def flow() -> Dataflow:
    """Build the flow from Kafka to Kafka for the engine's command, `python -m bytewax.run "flows.recommend:flow()"`.

    Settings come from `FRESHRANK_*` variables and `freshrank.toml`. Where the engine is given a recovery directory
    (`-r`), `FRESHRANK_RECOVERY` must be set, too: the model's state is kept there.
    """
    from flows.run import kafka_ends  # here, since that module imports this one
    from flows.store import Store

    settings = Settings()
    ends = kafka_ends(settings)
    if (directory := settings.recovery) is not None:
        ends.store = lambda step: Store(directory / "state" / step)
    return build_flow(settings, ends)
