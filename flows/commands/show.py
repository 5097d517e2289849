"""The commands that look at a recovery directory while no job is at work on it."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from flows.commands.show_view import print_trends, print_user
from flows.files.titles import read_titles
from flows.inspection.describe import describe_trends, describe_user
from flows.inspection.stored_model import read_stored

State = Annotated[Path, typer.Option("--state", help="The recovery directory of a job that is not running.")]
Items = Annotated[Path | None, typer.Option(help="CSV of item and title: show titles.")]
Top = Annotated[int, typer.Option(min=1, max=1_000, help="Items of a list.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HalfLife = typer.Option(help="One of the model's half-lives, in events or seconds as it counts.")


def show(
    user: Annotated[str, typer.Argument(help="Whose list.")],
    state: State,
    top: Top = 10,
    items: Items = None,
    as_json: AsJson = False,
) -> None:
    """Show a user's profile in a stored model, and the user's list with reasons."""
    titles = {} if items is None else read_titles(items)
    found = describe_user(read_stored(state).model, user, top, titles)
    if as_json:
        _print_json(found)
    else:
        print_user(found, Console())


def top(
    state: State,
    top: Top = 10,
    short: Annotated[float | None, HalfLife] = None,
    long: Annotated[float | None, HalfLife] = None,
    items: Items = None,
    as_json: AsJson = False,
) -> None:
    """Show the popular and the rising items of a stored model."""
    titles = {} if items is None else read_titles(items)
    found = describe_trends(read_stored(state).model, top, titles, short, long)
    if as_json:
        _print_json(found)
    else:
        print_trends(found, Console())


def _print_json(found: dict[str, Any]) -> None:
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
