"""Check before a run that no file is both read and written, and that no two outputs are the same file."""

import os
from collections.abc import Iterable
from pathlib import Path

from flows.files.sinks import OutputFileError


def expect_distinct_files(
    reads: Iterable[tuple[str, str | Path | None]], writes: Iterable[tuple[str, str | Path | None]]
) -> None:
    """Check that outputs are files of their own. Links and different spellings of a path are resolved.

    Args:
        reads: Option name, such as `--items`, and path of each input. A path of None is skipped.
        writes: The same for outputs.

    Raises:
        OutputFileError: A file is both read and written, or written twice.

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
    """Return the identities of a file: its real path and, if it exists, its device and inode numbers."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        found = None
    if found is not None and not path.is_file():
        return []  # a device or a pipe may be used twice
    identities: list[object] = [os.path.realpath(path)] if "\0" not in str(path) else []
    return identities if found is None else [*identities, (found.st_dev, found.st_ino)]
