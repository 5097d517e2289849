"""`freshrank show` and `freshrank top`: a user's profile, and popular and rising items of a stored model."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.commands.plain_text import plain
from flows.inspection.describe import MAX_REASONS, RECENT_ITEMS


def print_user(found: Mapping[str, Any], console: Console) -> None:
    """Print the result of `describe_user`."""
    since = "" if found["last_time"] is None else f", the last at {_time(found['last_time'])}"
    said = (
        f"{found['events']:,} events learned{since}"
        if found["events"]
        else "unknown: the model has no events of this user"
    )
    _say(console, f"user {found['user']}: {said}")
    if found["had"]:
        _say(console, f"had, the newest first: {_named(found['had'], RECENT_ITEMS)}")
    elif found["recent"]:
        _say(console, f"had lately: {_named(found['recent'], RECENT_ITEMS)}")
    rows = ([_name(item), f"{item['score']:.4f}", _why(item["why"])] for item in found["list"])
    _table(console, f"the list now, by {found['model']}", ("item", "score", "why"), rows)


def print_trends(found: Mapping[str, Any], console: Console) -> None:
    """Print the result of `describe_trends`."""
    rows = ([_name(item), f"{item['events']:,.1f}", f"{item['share']:.2%}"] for item in found["popular"])
    _table(console, "popular", ("item", "events", "share"), rows)
    rows = (
        [_name(item), f"{item['share']:.2%}", f"{item['before']:.2%}", f"{item['share'] / item['before']:.1f} ×"]
        for item in found["rising"]
    )
    _table(console, "rising", ("item", "share now", "before", "as often"), rows)


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("title", item["item"]))


def _named(items: Sequence[Mapping[str, Any]], most: int) -> str:
    named = " · ".join(_name(item) for item in items[:most])
    return named if len(items) <= most else f"{named} · … {len(items) - most:,} more"


def _why(parts: Mapping[str, float]) -> str:
    if parts.keys() == {"model"}:  # one that does not say more
        return ""
    largest = sorted(parts.items(), key=lambda part: -part[1])[:MAX_REASONS]
    return " · ".join(f"{name} {lift:+.2f}" for name, lift in largest if lift >= 0.005)


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):  # a log may count its time from anywhere
        return f"{seconds:g}"


def _say(console: Console, text: str) -> None:
    console.print(plain(text), markup=False, highlight=False, soft_wrap=True)


def _table(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(title=Text(plain(title)), title_justify="left")
    table.add_column("#", justify="right")
    for name in columns:
        table.add_column(name, justify="left" if name in ("item", "why") else "right", overflow="fold")
    for place, row in enumerate(rows, start=1):
        table.add_row(str(place), *(Text(plain(cell)) for cell in row))  # as text: a title may look like markup
    if table.row_count:
        console.print(table)
    else:
        _say(console, f"{title}: none")
