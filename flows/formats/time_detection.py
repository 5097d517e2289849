"""Find out how the timestamps of a file are written, by those of its first records."""

from collections.abc import Sequence
from math import isfinite

from flows.errors import LogError
from flows.formats.file_format import FileOptions
from flows.formats.reasons import RejectError
from flows.formats.times import NAME_OF, UNITS, TimeFormat, forms_of, unit_of


def detect_times(
    place: str, samples: Sequence[float | str], options: FileOptions
) -> tuple[TimeFormat, tuple[str, ...]]:
    """Return how timestamps are read, and what is to be said of it.

    Args:
        place: Names the file, for messages.
        samples: Timestamps of the first records, as written.
        options: Options for the file.

    Raises:
        LogError: A number or a date is ambiguous. The message says which option to give.
    """
    zone, notes = options.time_zone or "UTC", list[str]()
    if options.time_format is not None:
        return TimeFormat(options.time_unit or "s", zone, options.time_format), ()
    numbers, texts = _parted(samples)
    unit = options.time_unit
    if unit is None:
        unit, note = unit_of(numbers)
        if unit is None:
            raise LogError(
                f"{place}: expected times; the field timestamp holds numbers such as {_short(numbers)}, which may "
                f"be {note}. Say which with --time-unit {'yyyymmdd' if note.startswith('dates') else 's'} "
                f"(or {', '.join(UNITS)})."
            )
        if note:
            notes.append(f"times in {NAME_OF[unit]} {note}")
    times = TimeFormat(unit, zone)
    unread = [text for text in texts if not _is_time(times, text)]
    if len(unread) * 2 > len(samples):
        times = TimeFormat(unit, zone, _only_form(place, unread))
    elif any(_is_local(times, text) for text in texts[:20]):
        notes.append(f"times without a zone are {zone}")
    return times, tuple(notes)


def _parted(samples: Sequence[float | str]) -> tuple[list[float], list[str]]:
    numbers: list[float] = []
    texts: list[str] = []
    for sample in samples:
        try:
            numbers.append(float(sample))
        except ValueError:
            texts.append(sample)  # type: ignore[arg-type]  # a number is never a ValueError
        except OverflowError:
            continue
    return numbers, texts


def _is_time(times: TimeFormat, text: str) -> bool:
    try:
        times.seconds(text)
    except RejectError:
        return False
    return True


def _is_local(times: TimeFormat, text: str) -> bool:
    """Say whether a time depends on the zone."""
    try:
        return TimeFormat(times.unit, "+01:00").seconds(text) != TimeFormat(times.unit, "-01:00").seconds(text)
    except RejectError:
        return False


def _only_form(place: str, texts: Sequence[str]) -> str | None:
    """Return the one form that dates have which begin with day or month; None where they have none of these."""
    forms = forms_of(texts[0])
    fitting = [
        form for form in forms if sum(_is_time(TimeFormat(form=form), text) for text in texts) * 10 > len(texts) * 9
    ]
    if len(fitting) == 1:
        return fitting[0]
    example = texts[0][:40]
    if forms:
        either = " or ".join(f"--time-format '{form}'" for form in fitting or forms)
        raise LogError(
            f"{place}: expected times; the field timestamp holds {example!r}, of which the first number may be the day "
            f"or the month. Say which: {either}."
        )
    raise LogError(
        f"{place}: expected times, as Unix seconds or ISO 8601; the field timestamp holds {example!r}. Give their form "
        "in the codes of Python's strptime, such as --time-format '%d.%m.%Y %H:%M', or name another field: "
        "--map timestamp=NAME."
    )


def _short(numbers: Sequence[float]) -> str:
    """Write the first number that says something."""
    number = next(number for number in numbers if isfinite(number) and number > 0.0)
    return f"{number:.0f}" if number == int(number) else repr(number)
