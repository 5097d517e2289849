"""Conditions: their meaning, and errors for everything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.messages import Interaction
from flows.steps.conditions import ALLOWED, ExpressionError, parse_condition

EVENT = Interaction("ann", "tea", 90.0, "click", 4.0)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("value>=4", True),
        ("value > 4", False),
        ("4 == value", True),
        ("3 <= value < 5", True),
        ("3 <= value < 4", False),
        ("value == -4 or user == 'ann'", True),
        ("not (value == 4 and user == 'ann')", False),
        ("event in ['buy', 'click']", True),
        ("item not in ('tea',)", False),
        ("value in {1, 4.0}", True),
        ("timestamp < 1e2", True),
        ("user != item", True),
        ('  event == "click"  ', True),
        ("value>=4\nand user=='ann'", True),
    ],
)
def test_a_condition_means_what_it_means_in_python(text: str, holds: bool) -> None:
    assert parse_condition(text)(EVENT) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value=4", "column 6"),
        ("value >= low", "column 10 of 'value >= low': there is no name 'low'"),
        ("'ü' == item and valu > 3", "column 17"),
        ("value", "column 1 of 'value': expected a comparison"),
        ("value + 1 > 2", "expected a name, a number or 'text'; got value + 1"),
        ("value >= 'a'", "column 10 of \"value >= 'a'\": expected a number to compare with; got 'a'"),
        ("event == 1", "expected text to compare with; got 1"),
        ("event in 'click'", "expected a list"),
        ("event in []", "expected a list"),
        ("event in ['a', 1]", "expected text in the list; got 1"),
        ("value is 4", "there is no such comparison"),
        ("value > True", "got True"),
        ("value > 4j", "got 4j"),
        ("user.upper() == 'ANN'", "got user.upper()"),
        ("__import__('os').system('true') == 0", "expected a name, a number or 'text'"),
        ("[value for value in (1,)] == 1", "expected a name"),
        ("(lambda: 1)", "expected a comparison"),
        ("value > 3; 1", "column 10"),
        ("(((", "column 3"),
        ("(" * 900, "column"),
        ("", "column 1"),
        ("\0", "column 1"),
        ("value > 1 or " * 100 + "value > 1", "at most 1,000 characters"),
    ],
)
def test_anything_else_is_refused_with_its_place_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_condition(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert ALLOWED in str(refused.value) or "characters" in said


@given(st.text(max_size=60) | st.text(alphabet="value()[]<>=!'\"0123.andortin \\{}:;@", max_size=60))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    try:
        condition = parse_condition(text)
    except ExpressionError:
        return
    assert condition(EVENT) in (True, False)
