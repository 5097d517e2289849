"""HTML pages in one answer: style and script stand in the page, and a policy allows these and nothing else."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from flows import report
from flows.errors import UsageError, how_to_install

STYLES: Final = (Path(report.__file__).parent / "page.css", Path(__file__).parent / "page.css")
"""The report's own style sheet, and what these pages add to it."""


@dataclass(frozen=True)
class Page:
    """A page, and the policy that names what may run in it."""

    html: bytes
    policy: str

    def response(self) -> Response:
        """Return the page as an answer."""
        headers = {"Content-Security-Policy": self.policy, "X-Frame-Options": "DENY"}
        return Response(self.html, media_type="text/html", headers=headers)


def page_of(template: Path, **values: Any) -> Page:
    """Render a template with `style` and `script` from the files beside it that share its name.

    Args:
        template: The file. Everything put into it is escaped.
        values: What it shows.

    Raises:
        UsageError: Jinja is missing.
    """
    try:
        import jinja2
    except ImportError:
        raise UsageError(f"expected jinja2 to be installed. Install it: {how_to_install('serve')}.") from None
    shared = "".join(path.read_text(encoding="utf-8") for path in STYLES)
    script_file = template.with_suffix(".js")
    script = script_file.read_text(encoding="utf-8") if script_file.exists() else ""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(template.name).render(style=shared, script=script, **values)
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(script)}",
            f"style-src {_digest(shared)}",
            "connect-src 'self'",
            "img-src data:",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return Page(html.encode(), policy)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
