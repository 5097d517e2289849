"""River estimators from a line of text: calls, pipelines and literals are read, and nothing is evaluated."""

import ast
import importlib
import inspect
from typing import Any, Final

REFUSED: Final = ("river.datasets", "river.stream", "river.compat", "river.annotations")
"""Modules whose classes read files or the network, or need other libraries."""
FORM: Final = (
    "expected River's classes with literals, or with each other, as arguments, such as "
    "preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.1))"
)


def river_expression(text: str) -> Any:
    """Make what a text describes.

    Args:
        text: `reco.BiasedMF(n_factors=8)`, `tree.HoeffdingTreeClassifier`, `A() | B()` for a pipeline, and
            `(A() + B()) | C()` for a union of transformers in one. Arguments are literals, lists of them, or such
            calls again: `ensemble.BaggingClassifier(linear_model.LogisticRegression(), n_models=3)`. A class without
            brackets has no arguments.

    Raises:
        ValueError: It is something else, River has no such class, or the class does not take the arguments.

    >>> print(river_expression("preprocessing.StandardScaler | linear_model.LogisticRegression(l2=0.1)"))
    StandardScaler | LogisticRegression
    >>> river_expression("linear_model.LogisticRegression(open('x'))")
    Traceback (most recent call last):
    ...
    ValueError: River has no 'open'; expected River's classes with literals, or with each other, as arguments, \
such as preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.1))
    """
    return _made(tree_of(text))


def tree_of(text: str) -> ast.expr:
    """Parse a text, which is not yet seen to be a right one.

    Raises:
        ValueError: It is no expression of Python.
    """
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"it does not parse ({error}); {FORM}") from None


def is_composed(text: str) -> bool:
    """Say whether a text is more than one call with literals.

    >>> is_composed("reco.BiasedMF(8)"), is_composed("A() | B()"), is_composed("A(B())"), is_composed("A(")
    (False, True, True, False)
    """
    try:
        tree = tree_of(text)
    except ValueError:
        return False
    if isinstance(tree, ast.BinOp):
        return True
    values = [*tree.args, *(keyword.value for keyword in tree.keywords)] if isinstance(tree, ast.Call) else []
    return any(isinstance(node, ast.Name | ast.Attribute) for value in values for node in ast.walk(value))


def _made(node: ast.expr) -> Any:
    match node:
        case ast.BinOp(left, ast.BitOr() | ast.Add(), right) if not isinstance(right, ast.Constant):
            return _joined(node, left, right)
        case ast.Call(function, arguments, keywords):
            names = [keyword.arg for keyword in keywords]
            if None in names or any(isinstance(argument, ast.Starred) for argument in arguments):
                raise ValueError(f"* and ** are not allowed; {FORM}")
            named = {keyword.arg: _made(keyword.value) for keyword in keywords if keyword.arg is not None}
            return _called(_class_of(function), [_made(argument) for argument in arguments], named)
        case ast.Name() | ast.Attribute():
            return _called(_class_of(node), [], {})
        case ast.List(elements):
            return [_made(element) for element in elements]
        case ast.Tuple(elements):
            return tuple(_made(element) for element in elements)
        case ast.Dict(keys, values) if None not in keys:
            return {_made(key): _made(value) for key, value in zip(keys, values, strict=True) if key is not None}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"arguments must be literals or classes of River ({error}); {FORM}") from None


def _joined(node: ast.BinOp, left: ast.expr, right: ast.expr) -> Any:
    """Return a pipeline or a union of transformers."""
    from river import base  # takes long to import, and so only where it is needed

    parts = [_made(left), _made(right)]
    for part in parts:
        if not isinstance(part, base.Estimator):
            raise ValueError(f"expected estimators on both sides of | and + in {ast.unparse(node)!r}")
    return parts[0] | parts[1] if isinstance(node.op, ast.BitOr) else parts[0] + parts[1]


def _called(made: type, arguments: list[Any], named: dict[str, Any]) -> Any:
    try:
        return made(*arguments, **named)
    except Exception as error:  # a class may raise anything at arguments that it does not expect
        said = f"{error}" if isinstance(error, TypeError | ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{made.__name__}: {said}") from None


def _class_of(node: ast.expr) -> type[Any]:
    """Return a public class of River by its dotted name."""
    from river import base  # takes long to import

    path = ast.unparse(node)
    parts = path.split(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in parts):
        raise ValueError(f"River has no {path!r}; {FORM}")
    try:
        found: Any = getattr(importlib.import_module(".".join(["river", *parts[:-1]])), parts[-1])
    except (ImportError, AttributeError):
        raise ValueError(f"River has no {path!r}{_hint(parts[-1])}; {FORM}") from None
    is_rivers = inspect.isclass(found) and issubclass(found, base.Base) and found.__module__.startswith("river.")
    if not is_rivers or found.__module__.startswith(REFUSED):
        raise ValueError(f"expected an estimator of River, or an argument of one; {path!r} is neither")
    if inspect.isabstract(found):
        raise ValueError(f"{path} is a base class; expected one that can be made")
    made: type[Any] = found
    return made


def _hint(name: str) -> str:
    """Say where River has a class of a name."""
    everything = importlib.import_module("river.api")  # which takes a second
    paths = [
        f"{module}.{name}"
        for module in sorted(vars(everything))
        if not module.startswith("_") and name in vars(getattr(everything, module))
    ]
    return f"; it has {' and '.join(paths)}" if paths else ""
