"""The command `freshrank` as tests run it: in this process, or in a process of its own."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from flows import cli

ROOT = Path(__file__).parent.parent.parent


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def freshrank(*arguments: object, process: bool = False, cwd: Path = ROOT, **variables: str) -> Done:
    """Run a command to its end.

    Args:
        *arguments: What follows `freshrank` on the command line.
        process: In a process of its own. That takes about 2 s more. Only a process shows the
            output of the engine's own threads, and the shell's exit status.
        cwd: Working directory, where a user's own model is looked for.
        **variables: Environment variables in addition to those of the test.
    """
    words = [str(argument) for argument in arguments]
    if process:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)
    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    with _as_in_a_process(words, cwd, variables), redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
    return Done(status if isinstance(status, int) else int(status is not None), out.getvalue(), err.getvalue())


@contextmanager
def _as_in_a_process(words: list[str], cwd: Path, variables: dict[str, str]) -> Iterator[None]:
    """Undo afterwards what a command does to its process."""
    root, hook, modules = logging.getLogger(), sys.excepthook, set(sys.modules)
    handlers, level = root.handlers[:], root.level
    with (
        chdir(cwd),
        patch.dict(os.environ, variables),
        patch.object(sys, "argv", ["freshrank", *words]),
        patch.object(sys, "path", list(sys.path)),
    ):
        try:
            yield
        finally:
            root.handlers[:], root.level, sys.excepthook = handlers, level, hook
            logging.captureWarnings(False)
            for name in set(sys.modules) - modules:
                if cwd != ROOT and Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(cwd):
                    del sys.modules[name]  # a model of the test's own
