"""Measures how plain the English of a Markdown page is: `python -m tests.support.prose README.md docs/*.md`.

Code blocks, tables, headings, HTML and links' addresses do not count. Inline code counts as one word. An item of a list
is a sentence, or several.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

MAX_MEAN_WORDS = 15.0
"""Words a sentence, on the average of a page."""
MAX_WORDS = 25
"""Words of one sentence."""
MAX_SEMICOLONS = 3.0
"""Semicolons in 1,000 words."""

CODE_BLOCK = re.compile(r"^( *)(```|~~~).*?^\1\2[^\n]*$", re.MULTILINE | re.DOTALL)
ABBREVIATIONS = re.compile(r"\b(?:e\.g\.|i\.e\.|al\.|vs\.|No\.|Eq\.)")


class Prose(NamedTuple):
    """What a page was measured to be."""

    words: int
    sentences: list[str]
    semicolons: int

    @property
    def mean_words(self) -> float:
        """Words a sentence."""
        return self.words / max(len(self.sentences), 1)

    @property
    def semicolon_rate(self) -> float:
        """Semicolons in 1,000 words."""
        return 1000.0 * self.semicolons / max(self.words, 1)

    def faults(self) -> list[str]:
        """Say which rules the page breaks. A page of few words may have one semicolon."""
        found = []
        if self.mean_words > MAX_MEAN_WORDS:
            found.append(f"expected at most {MAX_MEAN_WORDS} words a sentence; found {self.mean_words:.1f}")
        if self.semicolons > 1 and self.semicolon_rate > MAX_SEMICOLONS:
            found.append(
                f"expected at most {MAX_SEMICOLONS} semicolons in 1,000 words; found {self.semicolon_rate:.1f}"
            )
        for sentence in self.sentences:
            if (count := len(sentence.split())) > MAX_WORDS:
                found.append(f"expected at most {MAX_WORDS} words; found {count}: {sentence}")
        return found


def prose_of(markdown: str) -> Prose:
    """Measure a page.

    >>> prose_of("# Lists\\n\\nThe job reads events. It writes lists; see `docs`.\\n\\n- one item\\n").sentences
    ['The job reads events.', 'It writes lists; see CODE.', 'one item']
    """
    text = CODE_BLOCK.sub("\n\n", markdown)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    text = re.sub(
        r"^( {4}|\t)(?![-*\d]).*$",
        lambda m: m[0].strip() if text_is_list(text, m.start()) else "",
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^\s*(\||#|<|!!!|:::|\[\^?\w+\]:).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"`[^`]+`", "CODE", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[^>\n]+>", "", text)
    text = re.sub(r"^\s*(?:[-*+]|\d+\.)\s+", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}", "", text)
    sentences = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(paragraph.split())
        line = ABBREVIATIONS.sub(lambda match: match[0].replace(".", "\0"), line)
        for each in re.split(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]?[A-Z0-9])|(?<=:)\s*$", line):
            if re.search(r"\w", each):
                sentences.append(each.replace("\0", ".").strip())
    words = sum(len(sentence.split()) for sentence in sentences)
    return Prose(words, sentences, sum(sentence.count(";") for sentence in sentences))


def text_is_list(text: str, start: int) -> bool:
    """Whether an indented line goes on with an item of a list (it is no block of code then)."""
    before = text[:start].rstrip("\n").rsplit("\n", 12)[1:]
    for line in reversed(before):
        if re.match(r"\s*(?:[-*+]|\d+\.)\s", line):
            return True
        if not line.strip() or not line.startswith((" ", "\t")):
            return False
    return False


def main() -> None:
    """Print a line for each page, and end with status 1 if one breaks a rule."""
    broken = False
    for name in sys.argv[1:]:
        prose = prose_of(Path(name).read_text(encoding="utf-8"))
        faults = prose.faults()
        broken = broken or bool(faults)
        rates = f"{prose.mean_words:.1f} words a sentence, {prose.semicolon_rate:.1f} semicolons in 1,000"
        print(f"{name}: {prose.words} words, {rates}", *faults, sep="\n  ")  # noqa: T201 - a report for people
    sys.exit(int(broken))


if __name__ == "__main__":
    main()
