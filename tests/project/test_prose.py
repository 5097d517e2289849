"""The README, every page of the docs and all docstrings are plain English, by `tests.support.prose`."""

from pathlib import Path

import pytest

from tests.support.prose import MAX_MEAN_WORDS, MAX_SEMICOLONS, MAX_WORDS, docstrings_of, prose_of, prose_of_docstring

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_is_plain_english(page: Path) -> None:
    assert prose_of(page.read_text(encoding="utf-8")).faults() == []


def test_readme_has_at_most_900_words() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.parametrize("folder", ["flows", "recmodels", "bench", "tests"])
def test_docstrings_are_plain_english(folder: str) -> None:
    long, words, sentences, semicolons = [], 0, 0, 0
    for path in sorted((ROOT / folder).glob("**/*.py")):
        for line, text in docstrings_of(path.read_text(encoding="utf-8")):
            prose = prose_of_docstring(text)
            words, semicolons = words + prose.words, semicolons + prose.semicolons
            sentences += len(prose.sentences)
            for sentence in prose.sentences:
                if len(sentence.split()) > MAX_WORDS:
                    long.append(f"{path.relative_to(ROOT)}:{line}: {sentence}")
    assert long == [], f"expected at most {MAX_WORDS} words a sentence"
    assert words / sentences <= MAX_MEAN_WORDS
    assert 1_000 * semicolons / words <= MAX_SEMICOLONS


def test_long_sentences_and_semicolons_are_faults() -> None:
    long = " ".join(["word"] * 26) + "."
    assert len(prose_of(long).faults()) == 2
    assert len(prose_of("One; two; three.").faults()) == 1
    assert prose_of("A short one.\n\n```\n" + long + "\n```\n").faults() == []
