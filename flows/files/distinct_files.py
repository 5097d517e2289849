"""Say before anything is opened that no file is both read and written, and that no two outputs are one file."""

import os
from collections.abc import Iterable
from pathlib import Path

from flows.files.sinks import OutputFileError


def expect_distinct_files(
    reads: Iterable[tuple[str, str | Path | None]], writes: Iterable[tuple[str, str | Path | None]]
) -> None:
    """Check files by what they are, not by their names: through links, and however a path is written.

    Args:
        reads: What each file that is read is called, such as `--items`, and its path; None: there is none.
        writes: The same of files that are written.

    Raises:
        OutputFileError: A file is read and written, or written twice.

    >>> expect_distinct_files([("the log", "a.csv")], [("--out", "b.jsonl"), ("--rejects", "./b.jsonl")])
    Traceback (most recent call last):
    flows.files.sinks.OutputFileError: --rejects ./b.jsonl: expected a file of its own; --out writes the same file.
    Name another.
    """
    read = {each: name for name, path in reads if path is not None for each in _identities(Path(path))}
    written: dict[object, str] = {}
    for name, path in writes:
        if path is None:
            continue
        for each in _identities(Path(path)):
            if each in read:
                raise OutputFileError(
                    f"{name} {path}: expected a file that is not read; {read[each]} is the same file, which would be "
                    "destroyed. Name another."
                )
            if written.get(each, name) != name:
                raise OutputFileError(
                    f"{name} {path}: expected a file of its own; {written[each]} writes the same file. Name another."
                )
        written |= dict.fromkeys(_identities(Path(path)), name)


def _identities(path: Path) -> list[object]:
    """Return what tells a file from others: its place, and, if it is there, its number on its disk."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        found = None
    if found is not None and not path.is_file():
        return []  # a device or a pipe may be named twice
    identities: list[object] = [os.path.realpath(path)] if "\0" not in str(path) else []
    return identities if found is None else [*identities, (found.st_dev, found.st_ino)]
