"""Promises about the pages in `docs/`: each is reached from the README, and each model that has a name is described."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from recmodels import Recommender
from recmodels.checks import Check, yield_checks
from recmodels.specification import BY_NAME

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")])
MODELS = (ROOT / "docs" / "models.md").read_text()


def links(page: Path) -> list[Path]:
    """Return what a page links to in the project."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    return [(page.parent / target).resolve() for target in targets]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    assert [target for target in links(page) if not target.exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting += [target for target in links(page) if target.suffix == ".md" and target not in reached]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("name", BY_NAME)
def test_every_model_that_has_a_name_is_described(name: str) -> None:
    assert f"`{name}`" in MODELS
    assert f"`{name}" in (ROOT / "README.md").read_text()


def the_model_of_the_page() -> type[Recommender]:
    found = re.search(r"```python\n(from recmodels import Recommender\n.*?)```", MODELS, re.DOTALL)
    assert found is not None, "docs/models.md shows a model of one's own"
    mine = sys.modules["mine"] = ModuleType("mine")  # where a pickle looks for it
    exec(found[1], vars(mine))
    made: type[Recommender] = mine.Followed
    return made


FOLLOWED = the_model_of_the_page()


@pytest.mark.parametrize("check", list(yield_checks(FOLLOWED)), ids=lambda check: check.__name__)
def test_the_model_of_the_page_keeps_the_contract(check: Check) -> None:
    check(FOLLOWED)
