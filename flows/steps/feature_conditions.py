"""Conditions on named values of any kind, such as `brand == 'acme' and price < 10`, for rules.

The names are features of items, or fields of a context. They are free, so a condition cannot check them. It is parsed
as the conditions of the command line are (`flows.steps.conditions`), and never evaluated as code.

- A comparison with a value that is missing, or of another type, is not met. `not` turns that around.
- If a feature has several values, one of them that meets the comparison is enough.
- A number in a text counts as a number.
- A name alone is met by the value true.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from typing_extensions import override

from flows.steps.conditions import COMPARE, Parser, parse_tree

ALLOWED: Final = (
    "Allowed are comparisons of a name (== != < <= > >= in) with numbers, 'text', true, false and [lists] of these; a "
    "name alone; and, or, not"
)
TURNED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}
WORDS: Final = {"true": True, "false": False, "True": True, "False": False}


class Bound:
    """One comparison that a condition certainly demands: its name, its operator and its value."""

    def __init__(self, name: str, link: type[ast.cmpop], value: Any) -> None:
        self.name = name
        self.link = link
        self.value = value


class FeatureCondition:
    """A condition on named values. Call it with a mapping of these.

    Attributes:
        text: The text that it was made from.
        names: The names in it, in their order.
        bounds: The comparisons that must all be met, as far as they are joined by `and` alone.

    >>> is_dear = parse_features("price >= 10 and brand in ['acme', 'best']")
    >>> is_dear({"price": "12.5", "brand": ["own", "acme"]}), is_dear({"price": 12.5}), is_dear.names
    (True, False, ('price', 'brand'))
    """

    def __init__(self, text: str, test: Callable[[Any], bool], names: list[str], bounds: list[Bound]) -> None:
        self.text = text
        self.names = tuple(dict.fromkeys(names))
        self.bounds = tuple(bounds)
        self._test = test

    def __call__(self, values: Mapping[str, Any]) -> bool:
        """Say whether the values meet the condition."""
        return self._test(values)


def parse_features(text: str) -> FeatureCondition:
    """Turn the text of a condition into a function of named values.

    Raises:
        ExpressionError: The text is not such a condition.

    >>> parse_features("price =< 10")
    Traceback (most recent call last):
    flows.steps.conditions.ExpressionError: column 7 of 'price =< 10': invalid syntax. Allowed are comparisons ..."""
    line, tree = parse_tree(text, ALLOWED)
    parser = _FeatureParser(line)
    return FeatureCondition(line, parser.condition(tree), parser.names, _bounds(parser, tree))


class _FeatureParser(Parser):
    allowed = ALLOWED

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.names: list[str] = []

    @override
    def condition(self, node: ast.expr) -> Callable[[Any], bool]:
        if isinstance(node, ast.Name) and node.id not in WORDS:
            name = self.name(node)
            return lambda values: values.get(name) is True
        return super().condition(node)

    @override
    def comparison(self, node: ast.Compare) -> Callable[[Any], bool]:
        tests = [_test(bound) for bound in self.bounds(node)]
        if len(tests) == 1:
            return tests[0]
        return lambda values: all(test(values) for test in tests)

    def bounds(self, node: ast.Compare) -> list[Bound]:
        """Return the comparisons of a chain: `3 <= price < 5` has two."""
        sides, found = [node.left, *node.comparators], []
        for left, link, right in zip(sides[:-1], node.ops, sides[1:], strict=True):
            kind = type(link)
            if kind not in COMPARE:
                raise self.fault(right, "there is no such comparison")
            if isinstance(left, ast.Name) and left.id not in WORDS:
                found.append(Bound(self.name(left), kind, self.right(right, kind)))
            elif isinstance(right, ast.Name) and right.id not in WORDS and kind not in (ast.In, ast.NotIn):
                found.append(Bound(self.name(right), TURNED.get(kind, kind), self.value(left)))
            else:
                raise self.fault(left, f"expected a name to compare; got {self.source(left)}")
        return found

    def name(self, node: ast.Name) -> str:
        self.names.append(node.id)
        return node.id

    def right(self, node: ast.expr, kind: type[ast.cmpop]) -> Any:
        if kind not in (ast.In, ast.NotIn):
            return self.value(node)
        if not isinstance(node, ast.List | ast.Tuple | ast.Set) or not node.elts:
            raise self.fault(node, f"expected a list, such as ['a', 'b']; got {self.source(node)}")
        return tuple(self.value(each) for each in node.elts)

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name) and node.id in WORDS:
            return WORDS[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return node.value
        value = self.literal(node)
        if value is None:
            raise self.fault(node, f"expected a number, 'text', true or false; got {self.source(node)}")
        return value


def _test(bound: Bound) -> Callable[[Any], bool]:
    name, wanted, compare = bound.name, bound.value, COMPARE[bound.link]
    among = wanted if isinstance(wanted, tuple) else (wanted,)
    is_numeric = all(isinstance(each, int | float) and not isinstance(each, bool) for each in among)
    is_text = all(isinstance(each, str) for each in among)

    def meets(value: Any) -> bool:
        if is_numeric:
            value = _number(value)
            return value is not None and compare(value, wanted)
        if is_text and not isinstance(value, str):
            return False
        if not is_text and not isinstance(wanted, tuple) and type(value) is not type(wanted):
            return False
        return compare(value, wanted)

    def test(values: Mapping[str, Any]) -> bool:
        value = values.get(name)
        if isinstance(value, list | tuple):
            return any(meets(each) for each in value)
        return value is not None and meets(value)

    return test


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _bounds(parser: _FeatureParser, node: ast.expr) -> list[Bound]:
    """Return the comparisons that a condition demands in any case."""
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [bound for part in node.values for bound in _bounds(parser, part)]
    return parser.bounds(node) if isinstance(node, ast.Compare) else []
