"""What a measure gives back: numbers with their targets, and what they mean."""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Number:
    """One measured number, and what it should be."""

    what: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    """The lowest and the highest of the runs whose median `value` is."""
    least: float | None = None
    """What it must reach."""
    aim: float | None = None
    """What it should reach."""
    is_cost: bool = False
    """Whether less is better."""

    @property
    def verdict(self) -> str:
        """Say which target is met."""
        if self.least is None:
            return ""
        sign = -1.0 if self.is_cost else 1.0
        if self.aim is not None and sign * self.value >= sign * self.aim:
            return "met, aim too"
        return "met" if sign * self.value >= sign * self.least else "**missed**"


@dataclass
class Section:
    """The results of one measure."""

    title: str
    command: str
    numbers: list[Number] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Paragraphs and tables: what the time goes to, and how far it is from the limit."""
    measured: str = ""
    """When and at which commit, and how busy the machine was."""

    def to_markdown(self) -> str:
        """Write it as Markdown."""
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


Measure = Callable[[bool], Section]
"""Measures; the argument says whether to be quick about it."""


def median(
    what: str,
    runs: Sequence[float],
    unit: str,
    least: float | None = None,
    aim: float | None = None,
    *,
    is_cost: bool = False,
) -> Number:
    """Make a number of several runs."""
    spread = (min(runs), max(runs)) if len(runs) > 1 else None
    return Number(what, statistics.median(runs), unit, spread, least, aim, is_cost)


def shown(value: float) -> str:
    """Show a number with three digits that tell, and with commas.

    >>> shown(12345.6), shown(12.345), shown(0.12345)
    ('12,346', '12.3', '0.123')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table as Markdown.

    >>> print(table(("a", "b"), [("1", "2")]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    return "\n".join(f"| {' | '.join(row)} |" if row else f"|{'---|' * len(head)}" for row in (head, (), *rows))


def main(measure: Measure) -> None:
    """Run one measure from the command line, and show its section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs, to see that it works")
    sys.stdout.write(measure(parser.parse_args().quick).to_markdown())


def _range(number: Number) -> str:
    return "one run" if number.spread is None else f"{shown(number.spread[0])} – {shown(number.spread[1])}"


def _target(value: float | None, number: Number) -> str:
    return "" if value is None else f"{'≤' if number.is_cost else '≥'} {shown(value)}"
