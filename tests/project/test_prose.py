"""The README and every page of the docs are plain English, by `tests.support.prose`."""

from pathlib import Path

import pytest

from tests.support.prose import prose_of

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_is_plain_english(page: Path) -> None:
    assert prose_of(page.read_text(encoding="utf-8")).faults() == []


def test_readme_has_at_most_900_words() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


def test_long_sentences_and_semicolons_are_faults() -> None:
    long = " ".join(["word"] * 26) + "."
    assert len(prose_of(long).faults()) == 2
    assert len(prose_of("One; two; three.").faults()) == 1
    assert prose_of("A short one.\n\n```\n" + long + "\n```\n").faults() == []
