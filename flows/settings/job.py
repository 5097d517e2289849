"""Settings of the job as a process: its connector, recovery, logging and metrics."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

from flows.monitoring.logging_setup import LogFormat
from flows.setting_fields import setting
from flows.shards.identity import Shard, shard_named
from flows.trainer.limits import Limits


class JobSettings(BaseModel):
    """Settings of the running process."""

    @property
    def own_shard(self) -> Shard | None:
        """The shard that this process is. None: it is the only one.

        Raises:
            UsageError: The setting `shard` names none.
        """
        return None if self.shard is None else shard_named(self.shard)

    connector: Annotated[
        str,
        setting(
            "job",
            "System at both ends of the job: `kafka`, or `package.module:Class` for one of your own.",
            see="docs/connectors.md",
        ),
    ] = "kafka"
    recovery: Annotated[
        Path | None,
        setting(
            "job",
            "Directory of the state from which a stopped or killed job resumes. Without one the job starts anew.",
            example='"/var/lib/freshrank"',
            see="docs/guarantees.md",
        ),
    ] = None
    shard: Annotated[
        str | None,
        setting(
            "job",
            "Which of several processes this one is: `0/4` to `3/4`, or `auto/4` for the number at the end of the "
            "host's name. Its state is in the folder `shard-I` of `recovery`.",
            example='"0/4"',
            see="docs/scale-out.md",
        ),
    ] = None
    delta_events: Annotated[
        int,
        setting("job", "Number of events after which a shard tells its peers what it has learned.", ge=1, le=4_096),
    ] = 200
    delta_seconds: Annotated[
        float, setting("job", "Time after which it does so at the latest.", unit="s", gt=0.0, le=10.0)
    ] = 0.1
    delta_snapshots: Annotated[
        Path | None,
        setting(
            "job",
            "Directory that all shards see. Each writes there what it knows of items. A shard that was away for longer "
            "than `delta_topic` keeps its messages goes on from there. Without one, nothing is written.",
            example='"/mnt/shared/freshrank"',
            see="docs/scale-out.md",
        ),
    ] = None
    delta_snapshot_seconds: Annotated[
        float,
        setting("job", "Least time between two such files of a shard.", unit="s", gt=0.0, le=86_400.0),
    ] = 300.0
    epoch_seconds: Annotated[float, setting("job", "Time between two snapshots.", unit="s", gt=0.0)] = 5.0
    max_reject_rate: Annotated[
        float,
        setting(
            "job", "Share of 1,000 records that may be rejected before the job stops. 1 never stops it.", ge=0.0, le=1.0
        ),
    ] = 1.0
    trainer_cpu_share: Annotated[
        float,
        setting(
            "job",
            "Largest share of one core that the training of `blend+slow` takes. Lower it where cores are scarce.",
            see="docs/slow-member.md",
            gt=0.0,
            le=1.0,
        ),
    ] = 1.0
    trainer_core: Annotated[
        int,
        setting("job", "Number of the core of that training. -1: the last one that the job may use.", ge=-1),
    ] = -1
    trainer_memory_mb: Annotated[
        int,
        setting(
            "job", "Largest size of that training in MB. Beyond it the training fails, and the job goes on.", ge=64
        ),
    ] = 4_096
    log_format: Annotated[
        LogFormat,
        setting("job", "Lines for people, or one JSON object a line.", see="docs/operations.md"),
    ] = "text"
    metrics_host: Annotated[
        str,
        setting(
            "job",
            "Address on which `/metrics` and `/healthz` are served. They need no password.",
            see="docs/operations.md",
        ),
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int, setting("job", "Port of `/metrics` and `/healthz`. 0 serves neither.", ge=0, le=65_535)
    ] = 0
    stalled_seconds: Annotated[
        float,
        setting("job", "Time without progress after which `/healthz` reports the job as not alive.", unit="s", gt=0.0),
    ] = 300.0
    serve: Annotated[
        dict[str, Any],
        setting("job", "Settings of `freshrank serve`: `{ port = 8080 }`, or a table `[serve]`."),
    ] = {}

    def trainer_limits(self) -> Limits:
        """Return the limits of the trainer's process."""
        return Limits(self.trainer_cpu_share, self.trainer_memory_mb, self.trainer_core)
