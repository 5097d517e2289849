"""The flow: its diagram, in code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from flows.asking import Asker
from flows.clean import clean
from flows.dead_letters import dead_letters
from flows.decode import Decoder, decode
from flows.emit import emit
from flows.encode import encode
from flows.expression import Condition
from flows.features import features
from flows.kept import StoreFor
from flows.latency import LatencyHistogram
from flows.learn import learn
from flows.messages import Decided, Outgoing, Raw, Rejected
from flows.model_watch import ModelWatch
from flows.refresh import refresh
from flows.settings import Settings
from flows.tally import Tally
from flows.where import where

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
    is_positive: Condition | None = None
    """Interactions that do not meet it are learned as not positive."""
    exists: Condition | None = None
    """Interactions that do not meet it are left out."""
    asker: Asker | None = None
    """Decides which events are scored and how, where `scores` takes them."""
    store: StoreFor = lambda step: None
    tally: Tally = field(default_factory=Tally)
    latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    watch: ModelWatch | None = None
    """Looks at the model as it learns; None: nobody does."""


def build_flow(settings: Settings, ends: Ends) -> Dataflow:
    """Connect the steps. Step ids name stored state: one that is renamed loses its own."""
    s, tally, store = settings, ends.tally, ends.store
    flow = Dataflow("freshrank")

    raw = op.input("source", flow, ends.source)
    decoded = decode("decode", raw, ends.decoder)
    dead_letters("dead_letters", decoded.rejected, tally, ends.dead_letter, ends.dead_letters)

    existing = decoded.events if ends.exists is None else where("where", decoded.events, ends.exists, tally)
    events = op.key_on("shard", existing, lambda event: SHARD)
    fresh = clean("clean", events, s.dedup_window, s.hold_back, tally, store)
    examples = features("features", fresh, s.rewards, s.fill, store, s.by_value, ends.is_positive)
    asked = refresh("refresh", examples, s.refresh, s.refreshes, s.strangers, s.max_users, store)
    is_scored = ends.scores is not None
    ranked = learn("learn", asked, s.build_model, s.top, is_scored, tally, store, ends.watch, ends.asker, s.why)
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
    (`-r`), `FRESHRANK_RECOVERY` must be set, too: the model's state is kept there. Logs, metrics and health are those
    of `freshrank run`; signals are the engine's own.
    """
    from flows.run import ends_for_the_engine  # here, since that module imports this one

    settings = Settings()
    return build_flow(settings, ends_for_the_engine(settings))
