"""Find out which fields the first records of a JSON file have, and how their times are written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from flows.errors import LogError
from flows.formats.column_names import REQUIRED, guess, likely
from flows.formats.field_map import paths_of, picker
from flows.formats.file_format import FileFormat, FileOptions
from flows.formats.time_detection import detect_times

KINDS = ("interaction", "item", "request", "forget")
"""Values of the field `kind`."""
DEEPEST = 3
"""How deep names are looked for, for advice."""


def detect_json(
    place: str, records: Sequence[bytes], base: FileFormat, options: FileOptions, *, is_sure: bool
) -> FileFormat:
    """Complete the format of a JSON file.

    Args:
        place: Names the file, for messages.
        records: The first ones.
        base: Its kind and encoding.
        options: Options for the file. A field whose path no record has keeps its own name.
        is_sure: Whether more than the bytes says that it is JSON.

    Raises:
        LogError: A required field is in no record, or a time could be two things.
    """
    objects = [found for record in records if isinstance(found := _decoded(record), dict)]
    if not objects:
        return replace(base, times=detect_times(place, (), options)[0], fields=dict(options.fields))
    fields = _fields(place, objects, options)
    pick = picker(paths_of(fields).get("timestamp", ""))
    samples = [time for record in objects if isinstance(time := pick(record), float | int | str)]
    times, notes = detect_times(place, [time for time in samples if not isinstance(time, bool)], options)
    return replace(base, fields=fields, times=times, notes=notes)


def _fields(place: str, objects: Sequence[dict[str, Any]], options: FileOptions) -> dict[str, str]:
    told = {
        field: path
        for field, path in options.fields.items()
        # One that no record has, where records have the field's own name, is meant for another of several files.
        if not options.is_shared or not path or _holds(objects, path, field) or not _holds(objects, field, field)
    }
    by_kind = _by_kind(place, objects, paths_of(told))
    looked_at, wanted = by_kind["interaction"], tuple[str, ...](REQUIRED)
    if not looked_at:
        looked_at, wanted = by_kind["item"], ("item", "timestamp")
        told = {field: path for field, path in told.items() if field != "user" or by_kind["forget"]}
    if not looked_at:
        return told
    paths = dict.fromkeys(wanted, "") | paths_of(told)
    every = list(dict.fromkeys(name for record in looked_at[:20] for name in _names(record)))
    for field in wanted:
        if field in told and not _holds(looked_at, paths[field], field):
            raise LogError(
                f"{place}: --map {field}={told[field]}: no record has {told[field]!r}; found {', '.join(every[:30])}. "
                "Name one of these."
            )
    missing = [field for field in wanted if not _holds(looked_at, paths[field], field)]
    if not missing:
        return told
    names = list(dict.fromkeys(name for record in looked_at for name in record))
    known = {field: path for field, path in paths.items() if field not in missing and path in names}
    guessed = {field: name for field, name in guess(names, known).items() if _holds(looked_at, name, field)}
    still = [field for field in missing if field not in guessed]
    if still:
        advice = " ".join(f"--map {field}={likely(field, every)}" for field in still)
        raise LogError(
            f"{place}: expected records with the fields {', '.join(wanted)}; no record has {' or '.join(still)}; found "
            f"{', '.join(every[:30])}. Say where they stand: {advice}"
        )
    return told | guessed


def _by_kind(place: str, objects: Sequence[dict[str, Any]], paths: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Group records by their kind."""
    pick = picker(paths["kind"]) if "kind" in paths else lambda record: None
    kinds = [pick(record) for record in objects]
    others = list(dict.fromkeys(kind for kind in kinds if isinstance(kind, str) and kind not in KINDS))
    if others and len([kind for kind in kinds if kind in others]) == len(objects):
        raise LogError(
            f"{place}: expected the field kind to be interaction, item, request or forget, or absent; found "
            f"{', '.join(others[:5])}. If it is the type of event: --map event=kind"
        )
    parted: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for record, kind in zip(objects, kinds, strict=True):
        parted.get("interaction" if kind is None else str(kind), []).append(record)
    return parted


def _holds(objects: Iterable[dict[str, Any]], path: str, field: str) -> bool:
    """Say whether a record has a possible value of the field at a path."""
    pick = picker(path)
    fitting = dict if field in ("context", "features") else object
    unfit = () if field in ("context", "features") else (dict, list)
    return any(
        (found := pick(record)) is not None and isinstance(found, fitting) and not isinstance(found, unfit)
        for record in objects
    )


def _names(record: dict[str, Any], before: str = "", depth: int = 0) -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict) and value and depth < DEEPEST:
            yield from _names(value, f"{before}{name}.", depth + 1)
        else:
            yield before + name


def _decoded(record: bytes) -> Any:
    try:
        return msgspec.json.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
