"""The command `freshrank`: finds the commands and maps errors to exit statuses."""

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from flows.commands.plain_text import plain
from flows.errors import JobError, UnusableInputError, UsageError
from flows.monitoring.logging_setup import are_logs_json

FAILED, WRONG, UNUSABLE = 1, 2, 3
"""Exit statuses: a failure while running; a wrong command, configuration or input file; it ran, but (nearly) nothing
of the input could be used."""

COMMANDS = {
    "demo": (
        "flows.commands.replay:demo",
        "Replay the bundled log of film ratings, and show some lists. Needs no broker.",
    ),
    "replay": (
        "flows.commands.replay:replay",
        "Run a recorded log through the flow, and measure it by test-then-learn.",
    ),
    "record": ("flows.commands.job:record", "Record a topic to a file that can be replayed, one record a line."),
    "run": ("flows.commands.job:run", "Run the job: Kafka in, Kafka out, until stopped."),
    "feed": ("flows.commands.job:feed", "Write a recorded log into the input topic, for the job to read."),
    "check": (
        "flows.commands.job:check",
        "Check the settings, the topics and the broker, and say how to repair each fault.",
    ),
    "resend": (
        "flows.commands.job:resend",
        "Put dead letters back into the input topic, each once, after their cause was repaired.",
    ),
    "rescale": (
        "flows.commands.rescale:rescale",
        "Deal the users of stopped shards, or of one process, out to another number of shards.",
    ),
    "compare": (
        "flows.commands.compare:compare_models",
        "Replay a log with several models or settings, and compare them with confidence intervals.",
    ),
    "tune": (
        "flows.commands.tune:tune_settings",
        "Search for better settings on the first part of a log, and test the best on the rest.",
    ),
    "check-model": (
        "flows.commands.check_model:check_model",
        "Run the contract of every model on one of your own: each rule, and what came where it is broken.",
    ),
    "show": ("flows.commands.show:show", "Show a user's profile in a stored model, and the user's list with reasons."),
    "top": (
        "flows.commands.show:top",
        "Show the popular and the rising items of a stored model.",
    ),
    "promote": (
        "flows.commands.promotion:promote",
        "Make the challenger of a stopped job the champion. The champion becomes the challenger.",
    ),
    "rollback": (
        "flows.commands.promotion:rollback",
        "Take a promotion back: the champion before it, which has learned on, is the champion again.",
    ),
    "serve": ("flows.commands.serve:serve", "Serve lists over HTTP, accept events, and show the live page."),
}
"""By name of the command: the place of its function, and its line in the list of commands."""

logger = logging.getLogger(__name__)


class LazyCommands(TyperGroup):
    """Imports a command when it runs. `--help` and `--version` import none, and answer at once.

    What Typer calls a command or a context depends on its version, so both are `Any` here.
    """

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the line of a command in the list of commands."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that runs."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load_command(name), rest


@contextmanager
def _no_collections() -> Iterator[None]:
    """Let the garbage collector rest. Imports make much, and leave nothing to collect: that is a tenth of a start."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def load_command(name: str) -> Any:
    """Import a command, and return it as Typer's group runs it.

    Args:
        name: One of `COMMANDS`.
    """
    module, _, function = COMMANDS[name][0].partition(":")
    alone = typer.Typer(add_completion=False)
    with _no_collections():
        alone.command(name)(getattr(import_module(module), function))
    if not gc.get_freeze_count():
        gc.freeze()  # a million objects that stay: no collection looks at them from now on
    return typer.main.get_command(alone)


app = typer.Typer(cls=LazyCommands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"freshrank {version('freshrank')}")
        except PackageNotFoundError:
            typer.echo("freshrank, not installed")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn from every event; put each user's refreshed list on a topic."""


def main() -> None:
    """Run the command, and turn an expected error into one line and an exit status."""
    sys.path.append(str(Path.cwd()))  # where a user's own model is looked for, as `python -m` would
    try:
        app()
    except UsageError as error:
        _end(error, WRONG)
    except UnusableInputError as error:
        _end(error, UNUSABLE)
    except JobError as error:
        _end(error, FAILED)
    except OSError as error:  # most likely a full disk
        _end(f"expected to read and write files; {error}. Make room, or mend that, and start the job again.", FAILED)
    except KeyboardInterrupt:
        _end("stopped.", FAILED)
    except ValueError as error:
        from recmodels.specification import SpecificationError  # by now a command has imported the models

        if not isinstance(error, SpecificationError):
            _end_of_own_code(error)
        _end(error, WRONG)
    except Exception as error:
        _end_of_own_code(error)


def _end_of_own_code(error: Exception) -> None:
    """End with the line of a user's own code that raised an error, or go on as a defect of this program."""
    from recmodels.own_code import own_line

    if (line := own_line(error)) is None:
        raise error
    _end(f"{line}.", FAILED)


def _end(message: object, status: int) -> None:
    if are_logs_json():
        logger.critical("%s", message)
    else:
        from rich.console import Console

        said = plain(f"freshrank: {message}", keep="\n")
        Console(stderr=True).print(said, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
