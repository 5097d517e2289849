"""Check that an input was usable: says why (nearly) none of it was learned, and what to do."""

from typing import Final

from flows.formats.reasons import Reason
from flows.monitoring.counters import Counters, Fault

MOST_LOST: Final = 0.9
"""Share of rejected records above which the input counts as unusable."""
MOST_REPEATED: Final = 0.5
"""Share of repeated ids above which the field `id` cannot be an id."""
LEAST_EVENTS: Final = 20
"""Number of repeats below which the share is not judged."""
SAMPLE_BYTES: Final = 160

_ADVICE: Final[dict[str, str]] = {
    Reason.MALFORMED_ROW: (
        "The record has more or fewer cells than the header, or quotes that do not match. Give --delimiter or "
        "--columns, or put cells that hold the delimiter in quotes"
    ),
    Reason.MISSING_FIELD: "Say where it stands: --map {field}=NAME",
    Reason.EMPTY_ID: "Say where it stands: --map {field}=NAME",
    Reason.WRONG_TYPE: "Say where it stands: --map {field}=NAME, or --map {field}= to leave it out",
    Reason.NOT_A_TIME: "Say how it is written: --time-format FORM; or where it stands: --map timestamp=NAME",
    Reason.TIME_OUT_OF_RANGE: "Say what it counts: --time-unit ms (or s, us, ns, d, yyyymmdd)",
    Reason.UNKNOWN_KIND: "If it is the type of event: --map event=kind",
    Reason.NOT_UTF8: "Name the encoding: --encoding latin-1",
}
OTHERWISE: Final = "See all of them: --rejects FILE"


def why_unusable(counters: Counters) -> str | None:
    """Return in one line why (nearly) none of an input was learned. None if enough was.

    >>> counters = Counters()
    >>> why_unusable(counters)
    'expected events to learn; the input holds no record. Check how it was written.'
    >>> counters.note_reject("log.csv:2", "not a time", "timestamp", b"u1,i1,noon")
    >>> print(why_unusable(counters))
    expected events to learn; 1 of 1 records were rejected: 1 not a time timestamp. The first is log.csv:2:
    'u1,i1,noon'. Say how it is written: --time-format FORM; or where it stands: --map timestamp=NAME.
    """
    rejected, read = counters.rejected.total(), counters.read + counters.left_out
    if not read:
        return "expected events to learn; the input holds no record. Check how it was written."
    if rejected > MOST_LOST * read:
        (reason, field), _ = counters.faults.most_common(1)[0]
        sample = counters.samples.get((reason, field))  # no state keeps it
        shown = "" if sample is None else f" The first is {sample.source}: {_shown(sample.raw)}."
        advice = _ADVICE.get(reason, OTHERWISE).format(field=field)
        return (
            f"expected events to learn; {rejected:,} of {read:,} records were rejected: {counters.reasons()}.{shown} "
            f"{advice}."
        )
    events = counters.learned + counters.duplicate + counters.held_back + counters.left_out
    if counters.duplicate >= LEAST_EVENTS and counters.duplicate > MOST_REPEATED * events:
        return (
            f"expected an id of each event; {counters.duplicate:,} of {events:,} events repeat the id, user, item and "
            "type of one before, and were dropped. If the id names something else, such as a session, leave it out: "
            "--map id="
        )
    if not counters.learned:
        return (
            f"expected interactions to learn; of {read:,} records none was: {counters.sentence()}. Check what the "
            "input holds, and what leaves events out."
        )
    return None


def _shown(raw: bytes | None) -> str:
    if raw is None:
        return "without a value"
    text = raw[:SAMPLE_BYTES].decode(errors="replace")
    return repr(text) + (" …" if len(raw) > SAMPLE_BYTES else "")


__all__ = ["Fault", "why_unusable"]
