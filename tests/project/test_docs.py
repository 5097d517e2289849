"""Pages in `docs/`: the README links to each, and each named model is described."""

import atexit
import importlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from recmodels import Recommender
from recmodels.checks import Check, yield_checks
from recmodels.specification import BY_NAME

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
MODELS = (ROOT / "docs" / "models.md").read_text()


def links(page: Path) -> list[Path]:
    """Return what a page links to in the project."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    return [(page.parent / target).resolve() for target in targets]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_have_targets(page: Path) -> None:
    assert [target for target in links(page) if not target.exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting += [target for target in links(page) if target.suffix == ".md" and target not in reached]
    of_the_site = {ROOT / "docs" / "index.md", ROOT / "docs" / "api.md"}  # doors of the site, not of the repository
    assert set(PAGES) - of_the_site <= reached


@pytest.mark.parametrize("name", BY_NAME)
def test_every_model_that_has_a_name_is_described(name: str) -> None:
    assert f"`{name}`" in MODELS


def the_model_of(code: str, name: str) -> type[Recommender]:
    """Make the model that some code defines, in a module of its own, where a pickle in any process finds it."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    sys.path.append(str(folder))
    (folder / f"mine_{name.lower()}.py").write_text(code)
    made: type[Recommender] = getattr(importlib.import_module(f"mine_{name.lower()}"), name)
    return made


def the_code(page: str, begin: str) -> str:
    """Return the first block of Python code of a page that begins so, without prompts."""
    found = re.search(rf"```python\n({re.escape(begin)}.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert found is not None, f"{page} shows a model of one's own"
    return re.sub(r"^(>>>|\.\.\.) ?", "", found[1], flags=re.MULTILINE)


FOLLOWED = the_model_of(the_code("docs/models.md", "from recmodels import Recommender\n"), "Followed")
NEWEST = the_model_of(the_code("docs/tutorials/ml.md", "from recmodels import Recommender\n"), "Newest")
CASES = [
    pytest.param(model, check, id=f"{model.__name__}-{check.__name__}")
    for model in (NEWEST, FOLLOWED)
    for check in yield_checks(model)
]


@pytest.mark.parametrize(("model", "check"), CASES)
def test_the_models_of_the_pages_keep_the_contract(model: type[Recommender], check: Check) -> None:
    check(model)
