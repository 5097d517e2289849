"""The command `freshrank`: registers the commands and maps errors to exit statuses."""

import logging
import sys
from pathlib import Path

import typer

from flows.commands import compare, job, replay, serve, show, tune
from flows.commands.options import console
from flows.commands.plain_text import plain
from flows.errors import JobError, UsageError
from flows.monitoring.logging_setup import are_logs_json
from recmodels.specification import SpecificationError

FAILED, WRONG = 1, 2
"""Exit statuses: a failure while running; a wrong command, configuration or input file."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn from every event; put each user's refreshed list on a topic.",
)
logger = logging.getLogger(__name__)

app.command()(replay.demo)
app.command()(replay.replay)
app.command()(job.record)
app.command()(job.run)
app.command()(job.feed)
app.command()(job.check)
app.command()(job.resend)
app.command("compare")(compare.compare_models)
app.command("tune")(tune.tune_settings)
app.command()(show.show)
app.command()(show.top)
app.command()(serve.serve)


def main() -> None:
    """Run the command, and turn an expected error into one line and an exit status."""
    sys.path.append(str(Path.cwd()))  # where a user's own model is looked for, as `python -m` would
    try:
        app()
    except (UsageError, SpecificationError) as error:
        _end(error, WRONG)
    except JobError as error:
        _end(error, FAILED)
    except OSError as error:  # most likely a full disk
        _end(f"expected to read and write files; {error}. Make room, or mend that, and start the job again.", FAILED)
    except KeyboardInterrupt:
        _end("stopped.", FAILED)


def _end(message: object, status: int) -> None:
    if are_logs_json():
        logger.critical("%s", message)
    else:
        said = plain(f"freshrank: {message}", keep="\n")
        console.print(said, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
