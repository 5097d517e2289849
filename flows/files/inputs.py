"""Input of a replay: one file or several, merged by time or sorted."""

import glob
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flows.errors import LogError
from flows.files.line_source import topic_of
from flows.files.merge import MergedSource, decode_marked
from flows.files.open_log import Log, open_log
from flows.files.record_source import Progress
from flows.files.sort import SortedSource
from flows.formats.file_format import FileOptions


def open_logs(
    paths: str | Path | Iterable[str | Path],
    map: Mapping[str, str] | None = None,
    *,
    file_options: Sequence[tuple[str, FileOptions]] = (),
    sort: bool = False,
    batch_size: int = 1_000,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Log:
    """Prepare to read one log, or several as one.

    Several logs are merged by time, and each must be sorted. Records of the same time keep the order of the files.
    Files of the same name in different directories become partitions of one topic, so that positions stay unique.

    Args:
        paths: Files, or patterns such as `"clicks/2026-11-*.parquet"`, whose files come in the order of their names.
        map: As of `open_log`, for every file that has such columns or fields.
        file_options: As of `open_log`.
        sort: Sort by time first, see `flows.files.sort`.
        batch_size, limit, progress: As of `flows.files.record_source.RecordSource`.

    Raises:
        LogError: A file cannot be read as a log, a pattern matches none, or a file is there twice.
    """
    files = find_files(paths)
    seen: Counter[str] = Counter()
    if len(files) == 1 and not sort:
        return open_log(files[0], map, file_options=file_options, batch_size=batch_size, limit=limit, progress=progress)
    logs = []
    for file in files:
        logs.append(
            open_log(
                file, map, file_options=file_options, is_one_of_several=len(files) > 1, partition=seen[topic_of(file)]
            )
        )
        seen[topic_of(file)] += 1
    name, said = ", ".join(str(file) for file in files), tuple(each for log in logs for each in log.source.said)
    united = SortedSource if sort else MergedSource
    source = united(logs, name, batch_size=batch_size, limit=limit, progress=progress)
    source.said = said
    return Log(source, decode_marked)


def short_name(path: str) -> str:
    """Return a short name of a log for a title. `path` may hold several paths with commas between them.

    >>> short_name("logs/november.csv"), short_name("logs/a.csv, logs/b.csv, logs/c.csv")
    ('november.csv', 'a.csv and 2 more')
    """
    first, *others = path.split(", ")
    return Path(first).name + (f" and {len(others)} more" if others else "")


def find_files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return the files of paths and patterns, in order.

    Raises:
        LogError: A pattern matches nothing, or a file is there twice.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise LogError("expected a log to read; none is named.")
    files: list[Path] = []
    for path in given:
        if not glob.has_magic(str(path)) or Path(path).exists():
            files.append(Path(path))
            continue
        matched = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
        found = [Path(each) for each in matched if Path(each).is_file() and not each.endswith(".positions")]
        if not found:
            raise LogError(f"{path}: expected logs; no file matches the pattern. Check it: ls {path}")
        files += found
    twice = [str(file) for file, count in Counter(file.resolve() for file in files).items() if count > 1]
    if twice:
        raise LogError(f"{twice[0]}: expected each log once; it is named twice.")
    return files
