"""Timestamps in every unit and form. An ambiguous one is an error that names the option."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import UsageError
from flows.formats.reasons import Reason, RejectError
from flows.formats.times import END_OF_TIME, TimeFormat, forms_of, unit_of

MOMENT = 1_572_566_400.25
"""2019-11-01T00:00:00.25Z."""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-11-01T00:00:00.25Z", MOMENT),
        ("2019-11-01t00:00:00.25z", MOMENT),
        ("2019-11-01 00:00:00.250 UTC", MOMENT),
        ("2019-11-01 00:00:00.250 gmt", MOMENT),
        ("2019-11-01T01:00:00.25+01:00", MOMENT),
        ("2019-11-01 01:00:00,25 +0100", MOMENT),
        ("2019-11-01 00:00:00.250000000", MOMENT),
        ("2019/11/01 00:00:00.25", MOMENT),
        ("  2019-11-01T00:00:00.25Z ", MOMENT),
        ("1572566400.25", MOMENT),
        ("2019-11-01", 1_572_566_400.0),
        ("Fri, 01 Nov 2019 00:00:00 GMT", 1_572_566_400.0),
        ("Fri, 01 Nov 2019 01:00:00 +0100", 1_572_566_400.0),
    ],
)
def test_text_in_every_common_form_is_read(text: str, moment: float) -> None:
    assert TimeFormat().seconds(text) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "01-11-2019 00:00", "2019-13-01", "12:00", "NaN", "1_000"])
def test_text_that_is_no_time_is_rejected(text: str) -> None:
    with pytest.raises(RejectError) as caught:
        TimeFormat().seconds(text)
    assert caught.value.reason == Reason.NOT_A_TIME


@pytest.mark.parametrize(
    ("unit", "number", "moment"),
    [
        ("s", MOMENT, MOMENT),
        ("ms", MOMENT * 1e3, MOMENT),
        ("us", MOMENT * 1e6, MOMENT),
        ("ns", MOMENT * 1e9, MOMENT),
        ("d", 18_201.5, 1_572_566_400.0 + 43_200.0),
        ("yyyymmdd", 20191101, 1_572_566_400.0),
        ("yyyymmdd", 20191101000005, 1_572_566_405.0),
    ],
)
def test_a_number_counts_the_unit(unit: str, number: float, moment: float) -> None:
    assert TimeFormat(unit).seconds(number) == pytest.approx(moment, abs=1e-6)
    assert TimeFormat(unit).seconds(f"{number:.0f}") == pytest.approx(moment, abs=86_400)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "+01:00", "+0100"])
def test_the_zone_holds_for_text_without_one(zone: str) -> None:
    assert TimeFormat(zone=zone).seconds("2019-11-01 01:00:00.25") == MOMENT
    assert TimeFormat(zone=zone).seconds("2019-11-01 00:00:00.25Z") == MOMENT


def test_a_form_reads_text_and_digits() -> None:
    assert TimeFormat(form="%d.%m.%Y %H:%M").seconds("01.11.2019 00:00") == 1_572_566_400.0
    assert TimeFormat(form="%Y%m%d").seconds(20191101.0) == 1_572_566_400.0


@pytest.mark.parametrize("wrong", [{"unit": "minutes"}, {"zone": "Mars"}, {"zone": "+99:00"}, {"zone": "../etc"}])
def test_an_unknown_unit_or_zone_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="expected"):
        TimeFormat(**wrong)


def check(times: TimeFormat, timestamp: float | str) -> None:
    try:
        moment = times.seconds(timestamp)
    except RejectError:
        return
    assert 0.0 <= moment < END_OF_TIME


@given(text=st.text("0123456789-/:.+ TtZzUCGMFrinov,eE%"), unit=st.sampled_from(["s", "ms", "d", "yyyymmdd"]))
def test_time_format_raises_only_rejects_for_any_text(text: str, unit: str) -> None:
    check(TimeFormat(unit), text)


@given(number=st.floats(), unit=st.sampled_from(["s", "ms", "us", "ns", "d", "yyyymmdd"]))
def test_time_format_raises_only_rejects_for_any_number(number: float, unit: str) -> None:
    check(TimeFormat(unit), number)


class TestUnit:
    @given(st.floats(3e8, END_OF_TIME - 1), st.sampled_from([("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)]))
    def test_unit_of_times_is_detected_by_size(self, moment: float, unit: tuple[str, float]) -> None:
        numbers = [moment * unit[1] + place for place in range(5)]
        assert unit_of(numbers)[0] in (unit[0], None)  # None: the digits happen to be a date

    @pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
    def test_missing_times_do_not_hide_the_unit(self, factor: int) -> None:
        numbers = [0.0, -1.0, float("nan"), 5.0, *(float(factor * (1_569_888_001 + n)) for n in range(30))]
        assert unit_of(numbers)[0] == {1: "s", 1_000: "ms", 1_000_000: "us", 1_000_000_000: "ns"}[factor]

    @pytest.mark.parametrize("numbers", [[20191001.0, 20191002.0], [2019100112.0], [201910011230.0], [43_739.5]])
    def test_a_number_that_could_be_two_things_is_asked_about(self, numbers: list[float]) -> None:
        assert unit_of(numbers)[0] is None

    def test_a_clock_of_its_own_is_in_seconds(self) -> None:
        assert unit_of([60.0, 120.0, 86_400.0]) == ("s", "counted from 0")


def test_forms_of_dates_with_day_or_month_first() -> None:
    assert forms_of("1.10.2019") == ["%d.%m.%Y", "%m.%d.%Y"]
    assert forms_of("10/1/2019 1:05:09 PM") == ["%d/%m/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M:%S %p"]
    assert forms_of("2019-10-01") == forms_of("soon") == []
