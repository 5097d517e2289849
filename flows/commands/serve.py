"""`freshrank serve`: lists over HTTP."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Config, settings_of
from flows.errors import UsageError, how_to_install
from flows.kafka.errors import secrets_in
from flows.monitoring.logging_setup import set_up_logging

NEEDED = ("starlette", "uvicorn", "jinja2")
"""What the extra `serve` installs."""


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1: this machine alone")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port.", show_default="8080")] = None,
    store: Annotated[
        str | None,
        typer.Option(help="File that keeps the lists, `memory`, or redis://host:port/db.", show_default="a cache file"),
    ] = None,
    tokens: Annotated[Path | None, typer.Option(help="File of bearer tokens, a role and a token a line.")] = None,
    sync_only: Annotated[
        bool | None, typer.Option("--sync-only", help="Only keep the store in step with the topic.")
    ] = None,
    config: Config = None,
) -> None:
    """Serve lists over HTTP, accept events, and show the live page."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"serve: expected {', '.join(missing)} to be installed. Install them: {how_to_install('serve')}."
        )
    from flows.serve.input_topics import events_topic
    from flows.serve.server import serve as run_server  # starlette and uvicorn are an extra
    from flows.serve.settings import load_serve_settings

    job = settings_of(config)
    settings = load_serve_settings(job.serve, host=host, port=port, store=store, tokens=tokens, sync_only=sync_only)
    set_up_logging(job.log_format, secrets_in(job.client()))
    if not settings.sync_only:
        events_topic(job, settings.events_topic)  # it can be wrong, which is better said before anything is opened
    run_server(settings, job)
