"""Which settings cannot change which metrics."""

from collections.abc import Collection, Mapping
from typing import Any, Final

EMISSION: Final = frozenset(
    (
        "emit",
        "emit_budget",
        "emit_change",
        "emit_interval",
        "fallback",
        "max_users",
        "min_score",
        "refresh",
        "refresh_budget",
        "refresh_removed",
        "refreshes",
        "withdraw_stale",
    )
)
"""Settings that decide which lists go out and when. What the model would list just before an event stays the same."""
NOTHING: Final = frozenset(("why",))
"""Settings that change no list."""


def why_no_effect(setting: str, metric: str, settings: Mapping[str, Any]) -> str | None:
    """Return why a setting cannot change a metric, in a sentence. None if it can.

    Args:
        setting: Its name.
        metric: Such as `hit_rate@10`.
        settings: The values of the others.

    >>> why_no_effect("emit", "hit_rate@10", {})
    'emit cannot change hit_rate@10: it decides which lists go out, and hit_rate@10 scores what the model would list. \
Use --metric served_hit_rate@10.'
    >>> why_no_effect("emit", "served_hit_rate@10", {}) is None
    True
    """
    name, _, k = metric.partition("@")
    if setting in NOTHING:
        return f"{setting} cannot change any metric: it adds reasons to a list, and changes no list."
    if setting in EMISSION and not name.startswith("served"):
        return (
            f"{setting} cannot change {metric}: it decides which lists go out, and {metric} scores what the model "
            f"would list. Use --metric served_hit_rate@{k}."
        )
    if setting == "refreshes" and not settings.get("refresh"):
        return f"refreshes cannot change {metric} while refresh is 0. Set refresh as well."
    return None


def sentences_of_no_effect(varied: Collection[str], metric: str, settings: Mapping[str, Any]) -> list[str]:
    """Return such a sentence for each of some settings that cannot change a metric."""
    rest = {**settings, **({"refresh": 1.0} if "refresh" in varied else {})}
    return [said for name in varied if (said := why_no_effect(name, metric, rest)) is not None]
