"""Finds the line of a user's own code in which an error was raised."""

import sysconfig
import traceback
from pathlib import Path
from typing import Final

_PROJECT: Final = Path(__file__).resolve().parent.parent
_OURS: Final = (_PROJECT / "recmodels", _PROJECT / "flows")
_LIBRARIES: Final = tuple(
    {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
)
LONGEST: Final = 300
"""An error's own text is cut after this number of characters."""


def own_line(error: BaseException) -> str | None:
    """Return where a user's own code raised an error, and what: `mine.py:16: KeyError: 'price', in helper`.

    Own code is in no package of this project, of Python, or of an installed library. Where own code calls a library
    that raises, the line is that of the call.

    Args:
        error: As it was caught, with its traceback.

    Returns:
        One line, or None if no own code had a part in it. The path is relative to the working directory if it is below.
    """
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    if isinstance(error, SyntaxError) and error.filename is not None and _is_own(error.filename):
        return f"{_short(error.filename)}:{error.lineno}: SyntaxError: {error.msg}"
    if not own:
        return None
    where = "" if own[-1].name == "<module>" else f", in {own[-1].name}"
    return f"{_short(own[-1].filename)}:{own[-1].lineno}: {_said(error)}{where}"


def library_line(error: BaseException) -> str | None:
    """Return likewise where a library raised an error, such as River; None if this project's own code did."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    if not frames or any(Path(frames[-1].filename).resolve().is_relative_to(folder) for folder in _OURS):
        return None
    path = Path(frames[-1].filename).resolve()
    folder = max((each for each in _LIBRARIES if path.is_relative_to(each)), key=lambda each: len(each.parts))
    return f"{path.relative_to(folder)}:{frames[-1].lineno}: {_said(error)}, in {frames[-1].name}"


def _said(error: BaseException) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"


def _is_own(file: str) -> bool:
    if file.startswith("<"):
        return False
    path = Path(file).resolve()
    return not any(path.is_relative_to(folder) for folder in (*_OURS, *_LIBRARIES))


def _short(file: str) -> str:
    path, here = Path(file).resolve(), Path.cwd().resolve()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
