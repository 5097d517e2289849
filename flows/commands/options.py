"""Arguments and helpers that several commands share."""

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.plain_text import plain
from flows.commands.waiting import waiting
from flows.errors import UsageError
from flows.monitoring.logging_setup import are_logs_json
from flows.settings import Settings, SettingsError, load_settings
from recmodels.fused.warm_up import are_kernels_compiled, warm_up

console = Console(stderr=True)
logger = logging.getLogger(__name__)


Config = Annotated[Path | None, typer.Option(help="TOML file of settings.", show_default="freshrank.toml, if there")]


def say(sentence: str) -> None:
    """Print a sentence as it is, however long."""
    console.print(plain(sentence, keep="\n"), highlight=False, markup=False, soft_wrap=True)


def settings_of(config: Path | None = None, **flags: Any) -> Settings:
    """Read the settings; a flag that was not given is None.

    Raises:
        UsageError: They cannot be used.
    """
    try:
        return load_settings(config, **{name: value for name, value in flags.items() if value is not None})
    except SettingsError as error:
        raise UsageError(str(error)) from None


def warm_up_kernels(settings: Settings) -> None:
    """Compile the kernels if the model has any, and say so if it takes long."""
    if not settings.uses_kernels:
        return
    said = "Compiling the kernels, once for this version: this takes about half a minute."
    if are_kernels_compiled():
        warm_up(settings.takes_back)
    elif are_logs_json():
        logger.info(said)
        warm_up(settings.takes_back)
    else:
        with waiting(said, console):
            warm_up(settings.takes_back)


def begin_to_load_kernels(settings: Settings) -> bool:
    """Start a thread that loads the kernels, so that they load while brokers answer.

    Returns:
        Whether it did. False: the model has none, or they must be compiled first (`warm_up_kernels`).
    """
    if not settings.uses_kernels or not are_kernels_compiled():
        return False

    def load() -> None:
        with suppress(Exception):  # the first event raises it again, where it is handled
            warm_up(settings.takes_back)

    threading.Thread(target=load, name="kernels").start()
    return True


def config_file(config: Path | None) -> Path:
    """Return the file that settings are read from, whether it is there or not."""
    return config or Path(os.environ.get("FRESHRANK_CONFIG", "freshrank.toml"))


def check_writable(path: Path) -> None:
    """Check before a run that a file can be written. Its content does not change.

    Raises:
        UsageError: It cannot.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path}: expected a file to write; its directory is not there, or it is one itself.")
    is_new = not path.exists()
    try:
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise UsageError(
            f"{path}: expected a file to write; {error.strerror}. Name one in a directory of yours."
        ) from None
