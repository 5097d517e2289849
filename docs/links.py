"""A hook of MkDocs: links to files outside `docs/` become plain text, as the site has no such pages."""

import re
from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page with links that leave `docs/` replaced by their text."""
    depth = page.file.src_uri.count("/")

    def plain(match: re.Match[str]) -> str:
        target = match[0][match[0].index("](") + 2 : -1]
        return match[1] if target.count("../") > depth else match[0]

    return re.sub(r"\[([^\]]+)\]\((\.\./[^)]*)\)", plain, markdown)
