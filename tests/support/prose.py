"""Measures how plain the English of a Markdown page is: `python -m tests.support.prose README.md docs/*.md`.

Code blocks, tables, headings, HTML and links' addresses do not count. Inline code counts as one word. An item of a list
is a sentence, or several.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
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


def docstrings_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring of a Python file, those of attributes, too.

    >>> list(docstrings_of("'One.'\\nMOST = 3\\n'Items of a list.'"))
    [(1, 'One.'), (3, 'Items of a list.')]
    """
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, inspect.cleandoc(value.value)


def prose_of_docstring(text: str) -> Prose:
    """Measure a docstring. Examples, names of arguments and sources do not count, nor do equations.

    >>> prose_of_docstring("Add one.\\n\\nArgs:\\n    x: A number.\\n\\n>>> add(1)\\n2\\n\\nSource: A, B.").sentences
    ['Add one.', 'A number.']
    """
    text = re.sub(r"^ *>>>.*(\n(?! *$).*)*", "", text, flags=re.MULTILINE)
    text = re.sub(r"^Sources?\b[^\n]*:.*?(\n\n|\Z)", "\n\n", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ +[\w*][\w*, ]*: ", "\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^(Args|Attributes|Raises|Returns|Yields):$", "", text, flags=re.MULTILINE)
    prose = prose_of("\n".join(line.strip() for line in text.splitlines()))
    return prose._replace(sentences=[sentence for sentence in prose.sentences if "=" not in sentence])


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
