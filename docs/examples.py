"""An extension of griffe: doctest examples that stand alone in a docstring become its section "Examples"."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Puts the heading `Examples:` above the first run of `>>>` lines, and indents what follows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one class, function or module."""
        if obj.docstring is not None and "Examples:" not in obj.docstring.value:
            lines = obj.docstring.value.splitlines()
            first = next((n for n, line in enumerate(lines) if re.match(r">>> ", line)), None)
            if first is not None:
                indented = [f"    {line}" if line else "" for line in lines[first:]]
                obj.docstring.value = "\n".join([*lines[:first], "Examples:", *indented])
