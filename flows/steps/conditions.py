"""Conditions on an interaction, such as `value >= 4 and event != 'return'`, for options of the command line.

Python's own parser reads the text, and each node becomes a closure. The text is never evaluated. A construct outside
the short list below is refused, and the message names its column.
"""

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from flows.errors import UsageError
from flows.messages import Interaction

NAMES: Final[dict[str, type]] = {"value": float, "timestamp": float, "event": str, "user": str, "item": str}
"""The fields of an interaction that a condition may name, with the type of each."""
ALLOWED: Final = (
    "Allowed are comparisons (== != < <= > >= in), and, or, not, numbers, 'text', [lists] of these, and the names "
    f"{', '.join(NAMES)}"
)
MAX_EXPRESSION_LENGTH: Final = 1_000
"""Longest condition in characters."""

Condition: TypeAlias = Callable[[Interaction], bool]
"""Function that says whether an interaction meets the condition. It never raises."""

_Term: TypeAlias = Callable[[Interaction], Any]
COMPARE: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
"""The comparison of each operator."""


class ExpressionError(UsageError):
    """A condition is not valid. The message gives the column, what is there, and what is allowed."""


def parse_condition(text: str) -> Condition:
    """Turn the text of a condition into a function.

    Args:
        text: For instance `value >= 4`, `event in ['click', 'buy'] and not user == 'u1'` or `3 <= value < 5`.

    Raises:
        ExpressionError: The text is not such a condition.

    >>> is_good = parse_condition("value >= 4 and event != 'return'")
    >>> [is_good(Interaction("ann", "tea", 1.0, value=value)) for value in (3.0, 4.0)]
    [False, True]
    >>> parse_condition("value >= low")
    Traceback (most recent call last):
    flows.steps.conditions.ExpressionError: column 10 of 'value >= low': there is no name 'low'. Allowed are
    comparisons ..."""
    line, tree = parse_tree(text, ALLOWED)
    return Parser(line).condition(tree)


def parse_tree(text: str, allowed: str) -> tuple[str, ast.expr]:
    """Parse the text of a condition, and return it as one line with its syntax tree.

    Args:
        text: The text.
        allowed: Sentence of what is allowed, for the message of an error.

    Raises:
        ExpressionError: The text has no such tree.
    """
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise ExpressionError(
            f"expected a condition of at most {MAX_EXPRESSION_LENGTH:,} characters; got {len(text):,}."
        )
    line = " ".join(text.split("\n")).strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as those of odd escapes; the parsed text is checked below
            tree = ast.parse(line, mode="eval")
    except SyntaxError as error:
        raise _fault(line, (error.offset or 1) - 1, error.msg, allowed) from None
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL character; parentheses without end
        raise _fault(line, 0, f"cannot be read ({error or type(error).__name__})", allowed) from None
    return line, tree.body


class Parser:
    """Turns the syntax tree of one text into closures."""

    allowed = ALLOWED

    def __init__(self, text: str) -> None:
        self.text = text

    def condition(self, node: ast.expr) -> Condition:
        """Compile an expression that is true or false."""
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(part) for part in node.values]
            if isinstance(node.op, ast.And):
                return lambda event: all(part(event) for part in parts)
            return lambda event: any(part(event) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.condition(node.operand)
            return lambda event: not inner(event)
        if isinstance(node, ast.Compare):
            return self.comparison(node)
        raise self.fault(node, f"expected a comparison, such as value >= 4; got {self.source(node)}")

    def comparison(self, node: ast.Compare) -> Condition:
        """Compile `a < b`, or a chain: `a < b < c` means `a < b and b < c`."""
        sides = [node.left, *node.comparators]
        links = []
        for left, link, right in zip(sides[:-1], node.ops, sides[1:], strict=True):
            compare = COMPARE.get(type(link))
            if compare is None:
                raise self.fault(right, "there is no such comparison")
            links.append((self.term(left)[0], compare, self._right(left, link, right)))
        if len(links) == 1:
            ((a, compare, b),) = links
            return lambda event: compare(a(event), b(event))
        return lambda event: all(compare(a(event), b(event)) for a, compare, b in links)

    def _right(self, left: ast.expr, link: ast.cmpop, right: ast.expr) -> _Term:
        kind = self.term(left)[1]
        if not isinstance(link, ast.In | ast.NotIn):
            term, other = self.term(right)
            if other is not kind:
                raise self.fault(right, f"expected {_said(kind)} to compare with; got {self.source(right)}")
            return term
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise self.fault(right, f"expected a list, such as [1, 2]; got {self.source(right)}")
        values = set()
        for each in right.elts:
            value = self.literal(each)
            if value is None or isinstance(value, str) is not (kind is str):
                raise self.fault(each, f"expected {_said(kind)} in the list; got {self.source(each)}")
            values.add(value)
        return lambda event: values

    def term(self, node: ast.expr) -> tuple[_Term, type]:
        """Compile a field or a literal, and return its type, too."""
        if isinstance(node, ast.Name):
            if node.id not in NAMES:
                raise self.fault(node, f"there is no name {node.id!r}")
            return operator.attrgetter(node.id), NAMES[node.id]
        value = self.literal(node)
        if value is None:
            raise self.fault(node, f"expected a name, a number or 'text'; got {self.source(node)}")
        return lambda event: value, str if isinstance(value, str) else float

    def literal(self, node: ast.expr) -> float | str | None:
        """Return the value of a number, signed or not, or of a text; None for anything else."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            value = self.literal(node.operand)
            if isinstance(value, str) or value is None:
                return None
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, str):
            return node.value  # type: ignore[return-value]  # bytes, True, None and ... have other types
        return None

    def source(self, node: ast.expr) -> str:
        """Return the source text of a node."""
        return ast.get_source_segment(self.text, node) or type(node).__name__

    def fault(self, node: ast.expr, said: str) -> ExpressionError:
        """Return an error about a node."""
        before = self.text.encode()[: node.col_offset].decode()  # the parser counts bytes
        return _fault(self.text, len(before), said, self.allowed)


def _fault(text: str, offset: int, said: str, allowed: str) -> ExpressionError:
    return ExpressionError(f"column {offset + 1} of {text!r}: {said}. {allowed}.")


def _said(kind: type) -> str:
    return "text" if kind is str else "a number"
