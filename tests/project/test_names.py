"""Names of the code in docs, image and command lines can be imported."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [
        *(path for path in ROOT.glob("deploy/**/*") if path.is_file()),
        *ROOT.glob("docs/**/*.md"),
        ROOT / "README.md",
        ROOT / "docker-compose.yml",
        ROOT / "Makefile",
        ROOT / ".ci" / "run",
    ]
)
MADE_BY_THE_READER = {"recmodels.kernels.members.hours", "recmodels/kernels/members/hours.py"}
"""Names that a page asks its reader to write."""
IS_DEEP_THERE = find_spec("jax") is not None and find_spec("keras") is not None
DOTTED = re.compile(r"(?<![\w./-])(?:flows|recmodels)(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_]\w*)?(?![\w/])")
IMPORT = re.compile(r"\bfrom ((?:flows|recmodels)[\w.]*) import (\([^)]*\)|[\w, ]+)")
PATH = re.compile(r"(?<![\w./-])(?:flows|recmodels|bench|tests)/[\w./-]*\w\.(?:py|md|csv|gz|toml)\b")


def names_in(text: str) -> Iterator[str]:
    """Return the dotted names of a text, and what it imports, as one dotted name each."""
    for name in DOTTED.findall(text):
        if not re.search(r"\.(py|csv|gz|md|toml)$", name):
            yield name.replace(":", ".")
    for module, imported in IMPORT.findall(text):
        for name in imported.strip("()").replace("+", " ").split(","):  # a + begins a line of a diff
            if name.strip():
                yield f"{module}.{name.split()[0]}"


def is_there(name: str) -> bool:
    """Say whether a name is a module, or an attribute of a module or class."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        try:
            found: object = import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module and not module.startswith(f"{error.name}."):
                raise
            continue
        for attribute in parts[count:]:
            found = getattr(found, attribute, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_of_the_code_are_there(page: Path) -> None:
    text = page.read_text()
    names = {name for name in names_in(text) if IS_DEEP_THERE or not name.startswith("recmodels.deep")}
    assert sorted(name for name in names - MADE_BY_THE_READER if not is_there(name)) == []
    paths = set(PATH.findall(text)) - MADE_BY_THE_READER
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_the_python_code_of_the_image_is_whole() -> None:
    """The image imports what it compiles: a name that has moved stops the build."""
    recipe = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    codes = re.findall(r"python -c \"([^\"]+)\"", recipe)
    assert codes, "the image compiles the kernels when it is built"
    for code in codes:
        ast.parse(code)
        assert list(names_in(code))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("see `flows.replay.nothing`", ["flows.replay.nothing"]),
        ("from recmodels import Blend, (", ["recmodels.Blend"]),
        ('python -m bytewax.run "flows.recommend:flow()"', ["flows.recommend.flow"]),
        ("flows/steps/emit.py and bench.flows.x", []),
    ],
)
def test_names_are_found_in_a_text(text: str, names: list[str]) -> None:
    assert list(names_in(text)) == names


def test_a_name_that_is_not_there_is_found_out() -> None:
    assert is_there("flows.settings.Settings.model_fields")
    assert not is_there("flows.settings.Nothing")
    assert not is_there("flows.nothing.Settings")
