"""`freshrank check-model`: whether a model keeps the contract."""

from typing import Annotated, Any

import typer

from flows.commands.options import say
from flows.errors import JobError, UsageError
from recmodels.base import Recommender
from recmodels.checks import ALL, run_checks
from recmodels.specification import build_model

LONGEST = 500
"""What a check says is cut after this number of characters."""


class BrokenContractError(JobError):
    """A model breaks rules of the contract."""


def check_model(
    model: Annotated[
        str, typer.Argument(help="As for --model: mine:Class, river:…, or a name with arguments.", show_default=False)
    ],
    check: Annotated[
        list[str] | None, typer.Option(help="Run only this check; may be repeated.", show_default="all of them")
    ] = None,
) -> None:
    """Run the contract of every model on one of your own: each rule, and what came where it is broken."""
    known = {each.__name__.removeprefix("check_") for each in ALL}
    for name in check or ():
        if name.removeprefix("check_") not in known:
            raise UsageError(f"--check {name}: expected the name of a check; there are {', '.join(sorted(known))}.")
    build_model(model)  # says what is wrong with it before the first check
    counts = {"kept": 0, "broken": 0, "left out": 0}
    for found in run_checks(_factory(model), check or ()):
        counts[found.state] += 1
        if found.state == "kept":
            say(f"kept      {found.name}")
        elif found.state == "left out":
            say(f"left out  {found.name}: {found.said}")
        else:
            said = " ".join(found.said.split())
            said = said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
            say(f"BROKEN    {found.name}: {said}\n          The rule: {found.rule}")
    if counts["broken"]:
        raise BrokenContractError(
            f"{model} breaks {counts['broken']} of {sum(counts.values())} rules. Mend them, or opt out of one by name "
            "and reason in _unit_test_skips: see docs/models.md."
        )
    say(f"{model} keeps the contract: {counts['kept']} rules kept, {counts['left out']} left out.")


def _factory(specification: str) -> Any:
    def make(repeats: str = "allow", **bounds: int) -> Recommender:
        return build_model(specification, repeats, bounds)

    return make
