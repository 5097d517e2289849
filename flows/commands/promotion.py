"""`freshrank promote` and `freshrank rollback`: which of two models in a recovery directory is the champion."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import say
from flows.inspection.promotion import Promoted
from flows.inspection.promotion import promote as promote_in
from flows.inspection.promotion import rollback as roll_back_in

State = Annotated[Path, typer.Option("--state", help="The recovery directory of a job that is not running.")]
IsDry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def promote(state: State, is_dry: IsDry = False) -> None:
    """Make the challenger of a stopped job the champion. The champion becomes the challenger."""
    _tell(promote_in(state, is_dry), is_dry)


def rollback(state: State, is_dry: IsDry = False) -> None:
    """Take a promotion back: the champion before it, which has learned on, is the champion again."""
    _tell(roll_back_in(state, is_dry), is_dry)


def _tell(done: Promoted, is_dry: bool) -> None:
    if done.sentence:
        say(done.sentence)
    verb = "would be" if is_dry else "is"
    say(f"{done.champion} {verb} the champion now, and {done.challenger} the challenger.")
    if not is_dry:
        say("Start the job. It goes on at its snapshot. Then set in its settings:")
        typer.echo(f'model = "{done.champion}"\nchallenger = "{done.challenger}"')
