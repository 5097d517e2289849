"""The door for the engine's own command: `python -m bytewax.run "flows.recommend:flow()"`."""

from bytewax.dataflow import Dataflow

from flows.job.connections import connections_for_engine
from flows.pipeline import build_flow
from flows.settings import Settings

__all__ = ["flow"]


def flow() -> Dataflow:
    """Build the flow from Kafka to Kafka for the engine's command, `python -m bytewax.run "flows.recommend:flow()"`.

    Settings come from `FRESHRANK_*` variables and `freshrank.toml`. Where the engine is given a recovery directory
    (`-r`), `FRESHRANK_RECOVERY` must be set, too: the model's state is kept there. Logs, metrics and health are those
    of `freshrank run`; signals are the engine's own.
    """
    settings = Settings()
    return build_flow(settings, connections_for_engine(settings))
