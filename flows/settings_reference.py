"""Generates files from the descriptions of the settings: run `python -m flows.settings_reference` after a change.

It writes `deploy/freshrank.toml` and `docs/settings.md` below the current directory. A test compares both.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

from flows.setting_fields import RENAMED, TITLES, Setting
from flows.settings import all_settings

WIDTH: Final = 120
FILE_HEAD: Final = """\
# Every setting of freshrank, with its default. Those without a default are commented out.
# An option of the command comes first, then the variable FRESHRANK_<NAME>, then this file.
# Read from ./freshrank.toml, or from the path in FRESHRANK_CONFIG or --config. Made by flows.settings_reference.
"""
PAGE_HEAD: Final = """\
# Settings

Each setting has one name. `freshrank run` takes it as an option, `--metrics-port 9100`. A variable has the name in
capitals, `FRESHRANK_METRICS_PORT=9100`. The file `freshrank.toml` has it as a key, `metrics_port = 9100`.

An option comes first, then the variable, then the file, then the preset of the `domain`, then the default. The file is
`freshrank.toml` in the current directory, or the path in `--config` or `FRESHRANK_CONFIG`. Unknown keys and unknown
`FRESHRANK_*` variables are refused, with the nearest known name. Tables are written as JSON in a variable:
`FRESHRANK_REWARDS='{"return": -1}'`.

[`deploy/freshrank.toml`](../deploy/freshrank.toml) has every setting with its default.
"""


def toml_file() -> str:
    """Return `deploy/freshrank.toml`: every setting with its description and its default."""
    lines = [FILE_HEAD]
    for scope, settings in _by_scope():
        lines.append(f"# --- {TITLES[scope]} ---\n")
        for setting in settings:
            said = " ".join(filter(None, [setting.text, _limits(setting), setting.see and f"See {setting.see}."]))
            lines += wrap(said.replace("`", ""), WIDTH, initial_indent="# ", subsequent_indent="# ")
            is_set = setting.default is not None
            lines.append(
                f"{setting.name} = {_toml(setting.default)}" if is_set else f"# {setting.name} = {setting.example}"
            )
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """Return `docs/settings.md`: a table of the settings for each scope."""
    lines = [PAGE_HEAD]
    for scope, settings in _by_scope():
        lines += [f"## {TITLES[scope]}", "", "| setting | default | values | what it sets |", "|---|---|---|---|"]
        for setting in settings:
            default = "" if setting.default is None else f"`{_toml(setting.default)}`"
            see = f" See [{Path(setting.see).stem}]({Path(setting.see).name})." if setting.see else ""
            cells = (f"`{setting.name}`", default, setting.values(), setting.text + see)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += ["## Renamed settings", "", "The old name is refused with the new one.", "", "| old | new |", "|---|---|"]
    lines += [f"| `{old}` | `{new}` |" for old, new in RENAMED.items()]
    return "\n".join([*lines, ""])


def _by_scope() -> Iterator[tuple[Any, list[Setting]]]:
    for scope, settings in groupby(all_settings(), lambda setting: setting.scope):
        yield scope, list(settings)


def _limits(setting: Setting) -> str:
    return f"Values: {setting.values()}." if setting.choices or setting.lowest is not None else ""


def _toml(value: Any) -> str:
    """Write a default as TOML.

    >>> _toml({"return": -1.0}), _toml(True), _toml([]), _toml(10_000)
    ('{ return = -1.0 }', 'true', '[]', '10_000')
    """
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name} = {_toml(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:_}"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    Path("deploy/freshrank.toml").write_text(toml_file(), encoding="utf-8")
    Path("docs/settings.md").write_text(page(), encoding="utf-8")
