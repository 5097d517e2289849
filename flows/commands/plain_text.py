"""Text from data as a terminal may show it: without control characters."""

import unicodedata
from typing import Final

_HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
"""Categories of characters that control a terminal, or the direction of text, or have no shape."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""Characters of the category Cf that are part of words and of emoji."""


def plain(text: object, keep: str = "") -> str:
    r"""Write control characters as escapes, so that data cannot move the cursor, colour the screen or turn text around.

    Args:
        text: Anything that comes from data: an id, a title, the name of a file.
        keep: Characters that stay, such as a newline.

    >>> plain("\x1b[2Jbob"), plain("a\nb"), plain("a\nb", keep="\n"), plain("\u202eevil"), plain("tea [bold]")
    ('\\x1b[2Jbob', 'a\\nb', 'a\nb', '\\u202eevil', 'tea [bold]')
    """
    said = str(text)
    if said.isprintable():
        return said
    return "".join(
        character
        if character in keep or character in _JOINERS or unicodedata.category(character) not in _HIDDEN
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in said
    )
