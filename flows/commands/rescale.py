"""`freshrank rescale`: deals the users of stopped shards out to another number of shards."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Config, say, settings_of
from flows.job.rescale import rescale as deal_out
from flows.shards.identity import MOST


def rescale(
    sources: Annotated[
        list[Path],
        typer.Option(
            "--from", help="Directory of a shard, of all shards, or of one process that is stopped; may be repeated."
        ),
    ],
    shards: Annotated[int, typer.Option(min=1, max=MOST, help="Number of new shards.")],
    target: Annotated[Path, typer.Option("--to", help="New directory for them: the setting recovery from now on.")],
    config: Config = None,
) -> None:
    """Deal the users of stopped shards, or of one process, out to another number of shards."""
    done = deal_out(sources, shards, target, settings_of(config))
    say(f"{done.sentence(target)}.")
    say(f"Start each of the {shards} shards with --recovery {target}, and --shard 0/{shards} and so on.")
