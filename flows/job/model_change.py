"""Which changes of the model's arguments can be applied to a state that is there."""

from typing import Any, Final

from recmodels.specification import build_model, parse, split

RAISED: Final = ("max_users", "max_items")
"""Bounds of memory. The state fits into tables that are larger, and not into smaller ones."""


def applicable_change(setting: str, kept: Any, wanted: Any) -> str | None:
    """Describe a change of a setting that can be applied to the state. None: it cannot.

    Args:
        setting: The setting's name.
        kept: Its value when the state was written.
        wanted: Its value now.

    >>> applicable_change("model", "popularity(max_users=64)", "popularity(max_users=128)")
    'max_users from 64 to 128'
    >>> applicable_change("model", "popularity(max_users=128)", "popularity(max_users=64)") is None
    True
    >>> applicable_change("model", "popularity", "covisitation") is None
    True
    """
    if setting != "model" or not isinstance(kept, str) or not isinstance(wanted, str):
        return None
    before, after = split(kept), split(wanted)
    if len(before) != len(after):
        return None
    changes: dict[str, tuple[int, int]] = {}
    for old, new in zip(before, after, strict=True):
        (name, positional, named), (new_name, new_positional, new_named) = parse(old), parse(new)
        fixed, new_fixed = ({k: v for k, v in each.items() if k not in RAISED} for each in (named, new_named))
        if (name, positional, fixed) != (new_name, new_positional, new_fixed):
            return None
        for bound in RAISED:
            if named.get(bound) != new_named.get(bound):
                sizes = (_bound(old, bound), _bound(new, bound))
                if sizes[0] is None or sizes[1] is None or sizes[1] < sizes[0]:
                    return None
                changes[bound] = (sizes[0], sizes[1])
    return ", ".join(f"{bound} from {low:,} to {high:,}" for bound, (low, high) in changes.items()) or None


def _bound(specification: str, name: str) -> int | None:
    found = getattr(build_model(specification, repeats="allow"), name, None)
    return found if isinstance(found, int) else None
