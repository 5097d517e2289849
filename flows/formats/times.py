"""Format of timestamps: numbers in a unit, or text with or without a time zone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from functools import cached_property
from math import isfinite
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from flows.errors import UsageError
from flows.formats.reasons import Reason, RejectError

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns", "d", "yyyymmdd"]
"""Unit of a number: seconds, milli-, micro- or nanoseconds or days since 1970, or a date written as digits."""

UNITS: Final[tuple[str, ...]] = get_args(TimeUnit)
SECONDS_OF: Final = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""How many of a unit are one second."""
NAME_OF: Final = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "d": "days",
    "yyyymmdd": "digits of dates (YYYYMMDD)",
}
DAY: Final = 86_400.0

END_OF_TIME: Final = 4_133_980_800.0
"""2101-01-01T00:00Z in Unix seconds. A timestamp in milliseconds lies beyond it."""

_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_OFFSET: Final = re.compile(r"([-+])(\d{2}):?(\d{2})")
_SPACE_BEFORE_OFFSET: Final = re.compile(r"(:\d{2}(?:[.,]\d+)?)\s+(?=[-+]\d{2})")
_MAIL: Final = re.compile(r"(?:[A-Za-z]{3},\s+)?\d{1,2}\s+[A-Za-z]{3}\s+\d{4}\s")
_DIGITS: Final = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Forms of dates and times that are written as digits only, by their number of digits."""


@dataclass(frozen=True)
class TimeFormat:
    """How a timestamp is read.

    A number counts `unit`s. Text holds a number, or ISO 8601 with `T`, `t` or a space, and with `Z`, an offset, `UTC`,
    `GMT` or no zone. A plain date is its midnight. Dates as in mail and HTTP are read, too.

    Args:
        unit: Unit of numbers.
        zone: The zone of text without one: a name such as `Europe/Berlin`, or an offset such as `+02:00`.
        form: How text is written, in the codes of `datetime.strptime`, such as `%d.%m.%Y %H:%M`. None: as above.

    Raises:
        UsageError: The unit or the zone is unknown.

    >>> TimeFormat().seconds("2019-10-01 00:00:01 UTC"), TimeFormat("ms").seconds(1569888001000)
    (1569888001.0, 1569888001.0)
    >>> TimeFormat(zone="+02:00").seconds("2019-10-01T02:00:01")
    1569888001.0
    >>> TimeFormat("yyyymmdd").seconds(20191001), TimeFormat(form="%d/%m/%Y").seconds("01/10/2019")
    (1569888000.0, 1569888000.0)
    """

    unit: str = "s"
    zone: str = "UTC"
    form: str | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise UsageError(f"time unit: expected one of {', '.join(UNITS)}; got {self.unit!r}.")
        _ = self._zone

    @property
    def tz(self) -> tzinfo:
        """Zone of times that name none."""
        return self._zone

    @property
    def is_plain(self) -> bool:
        """Whether a number is Unix seconds, and needs no conversion."""
        return self.unit == "s" and self.form is None

    def seconds(self, timestamp: float | str) -> float:
        """Return Unix seconds, from 1970 to the end of the year 2100.

        Raises:
            RejectError: It is no time, or lies outside that range.
        """
        found = self._of_text(timestamp) if isinstance(timestamp, str) else self._of_number(timestamp)
        if 0.0 <= found < END_OF_TIME:
            return found
        raise RejectError(Reason.TIME_OUT_OF_RANGE if isfinite(found) else Reason.NOT_FINITE, "timestamp")

    def _of_number(self, number: float) -> float:
        if self.form is not None and isfinite(number):
            return self._parsed(f"{number:.0f}", self.form)
        per_second = SECONDS_OF.get(self.unit)
        if per_second is not None:
            return number / per_second
        if self.unit == "d":
            return number * DAY
        if not isfinite(number):
            return number
        digits = f"{number:.0f}"
        return self._parsed(digits, _DIGITS.get(len(digits), ""))

    def _of_text(self, text: str) -> float:
        text = text.strip()
        if self.form is not None:
            return self._parsed(text, self.form)
        if _NUMBER.fullmatch(text):
            return self._of_number(float(text))
        try:
            return self._moment(_iso(text))
        except (ValueError, OverflowError):
            raise RejectError(Reason.NOT_A_TIME, "timestamp") from None

    def _parsed(self, text: str, form: str) -> float:
        try:
            return self._moment(datetime.strptime(text, form))
        except (ValueError, OverflowError):
            raise RejectError(Reason.NOT_A_TIME, "timestamp") from None

    def _moment(self, found: datetime) -> float:
        return (found if found.tzinfo is not None else found.replace(tzinfo=self._zone)).timestamp()

    @cached_property
    def _zone(self) -> tzinfo:
        if self.zone.upper() in ("UTC", "Z", "GMT"):
            return UTC
        if offset := _OFFSET.fullmatch(self.zone):
            span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
            if span < timedelta(days=1):
                return timezone(-span if offset[1] == "-" else span)
        try:
            return ZoneInfo(self.zone)
        except (OSError, ValueError):  # an unknown zone is a KeyError and an OSError at once on some systems
            pass
        except KeyError:
            pass
        raise UsageError(
            f"time zone: expected a name such as Europe/Berlin or an offset such as +02:00; got {self.zone!r}."
        )


def _iso(text: str) -> datetime:
    """Read ISO 8601 as it is really written."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    if _MAIL.match(text):
        return parsedate_to_datetime(text)
    plain = text.upper()
    for ending in ("UTC", "GMT", "Z"):
        if plain.endswith(ending):
            plain = plain.removesuffix(ending).rstrip() + "+00:00"
            break
    else:
        plain = _SPACE_BEFORE_OFFSET.sub(r"\1", plain)
    if len(plain) >= len("2019/10/01") and plain[4] == plain[7] and plain[4] in "/.":
        plain = f"{plain[:4]}-{plain[5:7]}-{plain[8:]}"
    return datetime.fromisoformat(plain)


_DAY_FIRST: Final = re.compile(
    r"(\d{1,2})([-./])(\d{1,2})\2(\d{4})(?:([ T]|, )(\d{1,2}):(\d{2})(:\d{2})?(\.\d+)?( ?[AaPp][Mm])?)?"
)


def forms_of(text: str) -> list[str]:
    """Return the `strptime` forms that a date with its day or month first may have.

    >>> forms_of("01-10-2019 00:01"), forms_of("10/31/2019")
    (['%d-%m-%Y %H:%M', '%m-%d-%Y %H:%M'], ['%d/%m/%Y', '%m/%d/%Y'])
    """
    found = _DAY_FIRST.fullmatch(text.strip())
    if found is None:
        return []
    mark, gap, seconds, part, half = found[2], found[5], found[8], found[9], found[10]
    clock = ""
    if gap:
        clock = gap + ("%I:%M" if half else "%H:%M") + (":%S" if seconds else "") + (".%f" if part else "")
        clock += (" %p" if half.startswith(" ") else "%p") if half else ""
    return [f"%{first}{mark}%{second}{mark}%Y{clock}" for first, second in ("dm", "md")]


SURELY_NUMBERS: Final = 3e8
"""Unix seconds of 1979. The times of any real log are later."""
RELATIVE: Final = 10_000.0
"""A clock that begins below this counts from its own beginning."""


def unit_of(numbers: Sequence[float]) -> tuple[str | None, str]:
    """Detect the unit of a log's timestamps by their size.

    Args:
        numbers: Timestamps of the first records. Those that are 0, negative or not finite are ignored.

    Returns:
        The unit, or None if it is ambiguous, and a note for the user.

    >>> unit_of([1569888001000.0, 1569888002000.0])
    ('ms', '')
    >>> unit_of([20191001.0])[0], unit_of([60.0, 86_400.0])
    (None, ('s', 'counted from 0'))
    """
    told = [number for number in numbers if isfinite(number) and number > 0.0]
    if not told:
        return "s", ""
    if _are_digits_of_dates(told):
        return None, "dates written as digits, or a count"
    fitting = {
        unit: sum(SURELY_NUMBERS * per_second <= number < END_OF_TIME * per_second for number in told)
        for unit, per_second in SECONDS_OF.items()
    }
    (first, most), (_, second), *_ = sorted(fitting.items(), key=lambda each: -each[1])
    if most * 2 > len(told) and second * 10 < len(told):
        return first, ""
    if min(told) < RELATIVE and max(told) < SURELY_NUMBERS:
        return "s", "counted from 0"
    return None, "in several units" if most else "seconds, days, minutes or another count"


def _are_digits_of_dates(numbers: Sequence[float]) -> bool:
    return all(number >= 19_000_000 and _is_digits_of_a_date(number) for number in numbers)


def _is_digits_of_a_date(number: float) -> bool:
    digits = f"{number:.0f}"
    form = _DIGITS.get(len(digits))
    if form is None or number != int(number) or not digits.startswith(("19", "20")):
        return False
    try:
        datetime.strptime(digits, form)  # only whether it is a date
    except ValueError:
        return False
    return True
