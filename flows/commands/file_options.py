"""Options for reading files, the same for every command that reads logs."""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import typer

from flows.commands.protocol_options import with_options
from flows.errors import UsageError
from flows.formats.field_map import FIELDS
from flows.formats.file_format import FileOptions

OptionsByPattern: TypeAlias = tuple[tuple[str, FileOptions], ...]
"""Patterns of paths or names, with options for the files that match. The first match wins."""

TAB = "\t"


def _options(
    map: Annotated[
        list[str] | None,
        typer.Option("--map", help="Name or path of a field: user=userId, user=actor.id, clicks.csv:user=userId, id=."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of the cells of CSV, such as ; or tab.", show_default="found")
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line of CSV has the names of the columns.",
            show_default="found",
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Names of the columns of CSV, - to skip one: user,item,-,timestamp.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of the text, such as latin-1.", show_default="found")
    ] = None,
    decimal_comma: Annotated[
        bool | None,
        typer.Option("--decimal-comma/--decimal-point", help="Decimal mark of numbers in CSV.", show_default="found"),
    ] = None,
    time_unit: Annotated[
        str | None,
        typer.Option(help="Unit of numbers in timestamp: s, ms, us, ns, d or yyyymmdd.", show_default="found"),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Zone of times that name none: Europe/Berlin, +02:00.", show_default="UTC")
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(help="Format of times: '%d.%m.%Y %H:%M'.", show_default="ISO 8601")
    ] = None,
) -> None:
    """Only the signature counts."""


def with_file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for reading files to a Typer command.

    The command takes them as one argument, `file_options: OptionsByPattern`.
    """
    return with_options(command, _options, "file_options", _united)


def _united(flags: dict[str, Any]) -> OptionsByPattern:
    """Turn the flags into options by pattern.

    >>> pattern, options = _united({"map": ["clicks.csv:user=userId"], "delimiter": None})[0]
    >>> pattern, options.fields
    ('clicks.csv', {'user': 'userId'})
    """
    maps: dict[str, dict[str, str]] = {}
    for pair in flags["map"] or ():
        pattern, field, path = _parted(pair)
        maps.setdefault(pattern, {})[field] = path
    values = {name: value for name, value in flags.items() if name != "map" and value is not None}
    if "columns" in values:
        values["columns"] = [name.strip() for name in values["columns"].split(",")]
    if values.get("delimiter") in ("tab", "\\t"):
        values["delimiter"] = TAB
    every = FileOptions(maps.pop("*", {}), **values)
    return (*((pattern, FileOptions(fields)) for pattern, fields in maps.items()), ("*", every))


def _parted(pair: str) -> tuple[str, str, str]:
    """Split `field=path` or `file:field=path` into pattern, field and path.

    >>> _parted("logs/a:b.csv:user=who=1"), _parted("id=")
    (('logs/a:b.csv', 'user', 'who=1'), ('*', 'id', ''))
    """
    before, separator, path = pair.partition("=")
    if not separator:
        raise UsageError(f"--map {pair}: expected field=name, such as user=userId, or file:field=name.")
    pattern, colon, field = before.rpartition(":")
    if field not in FIELDS:
        raise UsageError(
            f"--map {pair}: expected one of the fields {', '.join(FIELDS)} before the =; found {field!r}. "
            "Write the field first, then its name in the data."
        )
    return pattern if colon else "*", field, path
