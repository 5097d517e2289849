"""Writes the results of replays as one HTML page that opens without a network.

Altair makes the figures for Vega-Lite. Its scripts, from vl-convert, take 0.9 MB of the page. Plotly's would take 4.8
MB. It draws SVG, so the page's own style sheet colours every mark, in light and in dark mode. Figures adapt to the
width of the screen.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.errors import UsageError, how_to_install

if TYPE_CHECKING:
    from flows.report.data import Measured
    from flows.report.theme import Figure

__all__ = ["ReportError", "write_html"]

NEEDED = ("altair", "vl_convert")
SNIPPET = "window.vegaEmbed = vegaEmbed;"
"""What the page's own script needs of Vega's."""


class ReportError(UsageError):
    """A report cannot be made."""


def expect_libraries() -> None:
    """Check that the libraries for the figures are installed.

    Raises:
        ReportError: It is not.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ReportError(
            f"--html: expected {' and '.join(missing)} to be installed. Install them: {how_to_install('report')}."
        )


def write_html(
    path: str | Path,
    results: Sequence["Measured"],
    command: str,
    *,
    titles: Mapping[str, str] | None = None,
    sentences: Sequence[str] = (),
    window: int | None = None,
) -> None:
    """Write a report.

    Args:
        path: The page to write.
        results: Data of one or more replays of one log. Replays with the same name get numbers.
        command: The command that makes the page.
        titles: By item, for the sample lists.
        sentences: Conclusions for the top of the page, such as which model is better by how much.
        window: Scored events of one point of a line over time. None: at most 40 points.

    Raises:
        ReportError: The libraries are missing, or the file cannot be written.
    """
    expect_libraries()
    page = render(results, command, titles=titles or {}, sentences=sentences, window=window)
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{path}: expected a file to write; {error.strerror}.") from None


def render(
    results: Sequence["Measured"],
    command: str,
    *,
    titles: Mapping[str, str],
    sentences: Sequence[str],
    window: int | None,
) -> str:
    """Return the page.

    Args:
        results: The replays.
        command: The command that makes the page.
        titles: Title by item.
        sentences: Sentences about the differences of models.
        window: Number of scored events of a point of the metrics over time. None: at most 40 points.
    """
    import jinja2

    from flows.files.inputs import short_name
    from flows.report.sample_lists import lists
    from flows.report.summary import summary
    from flows.report.theme import spec_of

    named = _apart(results)
    figures = _figures(named, window)
    specs = {figure.name: spec_of(figure.chart) for figure in figures if figure.chart is not None}
    folder = Path(__file__).parent
    scripts = [_vega(), (folder / "page.js").read_text(encoding="utf-8")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html").render(
        log=short_name(str(named[0].numbers["log"]["path"])),
        style=(folder / "page.css").read_text(encoding="utf-8"),
        policy=_policy(scripts),
        scripts=scripts,
        specs=_for_script(specs),
        figures=[figure for figure in figures if figure.chart is not None],
        empty=[figure for figure in figures if figure.chart is None],
        names=[result.name for result in named],
        summary=summary(named),
        sentences=sentences,
        lists=lists(named, titles),
        command=command,
    )


@cache
def _vega() -> str:
    """Return the scripts that draw figures, of the version that Altair writes for."""
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle(SNIPPET, vl_version=version)


def _figures(results: Sequence["Measured"], window: int | None) -> "list[Figure]":
    from flows.report import cold_start, cost, popularity, quality, ranks
    from flows.report import weights as blend

    return [
        quality.over_time(results, window),
        quality.served_and_fresh(results, window),
        cost.accuracy_against_cpu(results),
        *blend.weights(results),
        ranks.ranks(results),
        cost.latency(results),
        cold_start.cold_users(results),
        cold_start.cold_items(results),
        popularity.popularity_bias(results),
    ]


def _apart(results: Sequence["Measured"]) -> "list[Measured]":
    """Number the names that several have."""
    from dataclasses import replace

    if not results:
        raise ReportError("expected at least one result to report; got none.")
    names = [result.name for result in results]
    seen: dict[str, int] = {}
    apart = []
    for result in results:
        seen[result.name] = seen.get(result.name, 0) + 1
        one_of_many = names.count(result.name) > 1
        apart.append(replace(result, name=f"{result.name} #{seen[result.name]}") if one_of_many else result)
    return apart


def _for_script(specs: Mapping[str, Any]) -> str:
    """Return JSON that no `</script>` within can end."""
    return json.dumps(specs, separators=(",", ":")).replace("<", "\\u003c")


def _policy(scripts: Sequence[str]) -> str:
    """Return a policy by which the browser runs these scripts and no other, and asks no network for anything."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {hashes}"
