"""Results of a benchmark: numbers with their targets, as Markdown."""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Number:
    """One measured number with its targets."""

    what: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    """The lowest and the highest run. `value` is the median."""
    least: float | None = None
    """Required target."""
    aim: float | None = None
    """Desired target."""
    is_cost: bool = False
    """Whether less is better."""

    @property
    def verdict(self) -> str:
        """Return which target is met."""
        if self.least is None:
            return ""
        sign = -1.0 if self.is_cost else 1.0
        if self.aim is not None and sign * self.value >= sign * self.aim:
            return "met, aim too"
        return "met" if sign * self.value >= sign * self.least else "**missed**"


@dataclass
class Section:
    """The results of one benchmark."""

    title: str
    command: str
    numbers: list[Number] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Paragraphs and tables that explain the numbers."""
    measured: str = ""
    """Date, commit, and load of the machine."""

    def to_markdown(self) -> str:
        """Return the section as Markdown."""
        lines = [f"## {self.title}", "", " · ".join(part for part in (f"`{self.command}`", self.measured) if part), ""]
        if self.numbers:
            rows = [
                (n.what, f"{shown(n.value)} {n.unit}", _range(n), _target(n.least, n), _target(n.aim, n), n.verdict)
                for n in self.numbers
            ]
            lines += [table(("what", "measured", "lowest – highest run", "at least", "aim", "verdict"), rows), ""]
        for note in self.notes:
            lines += [note, ""]
        return "\n".join(lines)


Benchmark = Callable[[bool], Section]
"""Function that runs a benchmark. The argument asks for a quick run."""


def median(
    what: str,
    runs: Sequence[float],
    unit: str,
    least: float | None = None,
    aim: float | None = None,
    *,
    is_cost: bool = False,
) -> Number:
    """Return the median of several runs as a `Number`."""
    spread = (min(runs), max(runs)) if len(runs) > 1 else None
    return Number(what, statistics.median(runs), unit, spread, least, aim, is_cost)


def shown(value: float) -> str:
    """Format a number with three significant digits, and with commas.

    >>> shown(12345.6), shown(12.345), shown(0.12345)
    ('12,346', '12.3', '0.123')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown.

    >>> print(table(("a", "b"), [("1", "2")]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    return "\n".join(f"| {' | '.join(row)} |" if row else f"|{'---|' * len(head)}" for row in (head, (), *rows))


def main(measure: Benchmark) -> None:
    """Run one benchmark from the command line, and print its section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs, to see that it works")
    sys.stdout.write(measure(parser.parse_args().quick).to_markdown())


def _range(number: Number) -> str:
    return "one run" if number.spread is None else f"{shown(number.spread[0])} – {shown(number.spread[1])}"


def _target(value: float | None, number: Number) -> str:
    return "" if value is None else f"{'≤' if number.is_cost else '≥'} {shown(value)}"
