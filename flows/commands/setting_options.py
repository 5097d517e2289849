"""Options that set a setting: made from its description, so that help, file and documentation say the same."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from flows.commands.protocol_options import with_options
from flows.errors import UsageError
from flows.setting_fields import RENAMED, TITLES, Setting
from flows.settings import all_settings, unknown_setting

GivenSettings = Mapping[str, Any]
"""The settings that were given as options, by name; None where one was not given."""

OF_A_JOB: Final = tuple(each.name for each in all_settings() if not each.is_table and not each.is_secret)
"""Settings that `run` and `check` take: all but tables, lists and secrets."""
OF_FILES: Final = ("seed", "time_unit", "time_zone", "time_format")
"""Settings that come with the options of the protocol, and with those of files."""
OF_A_REPLAY: Final = (
    *(
        each.name
        for each in all_settings()
        if each.name in OF_A_JOB and each.decides_lists and each.name not in OF_FILES
    ),
    *("recovery", "max_reject_rate"),
)
"""Settings that `replay` takes."""


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a Typer command an option for each of these settings. It takes them as one argument, `given`.

    >>> app = typer.Typer()
    >>> @app.command()
    ... @with_settings("top", "input_topic", "why")
    ... def show(given: GivenSettings) -> None:
    ...     print(given)
    >>> app(["--top", "5", "--input-topic", "clicks"], standalone_mode=False)
    {'top': 5, 'input_topic': 'clicks', 'why': None}
    """
    described = {each.name: each for each in all_settings()}
    options = [_option(described[name]) for name in names]
    options += [_renamed(old, described[new]) for old, new in RENAMED.items() if new in names]
    return lambda command: with_options(command, options, "given", lambda flags: {name: flags[name] for name in names})


def _option(setting: Setting) -> inspect.Parameter:
    flag = _flag(setting.name)
    names = [f"{flag}/--no-{flag[2:]}"] if setting.kind is bool else [flag]
    default = str(setting.default).lower() if setting.kind is bool else str(setting.default)
    text = setting.text.replace("`", "") + (f" Unit: {setting.unit}." if setting.unit else "")
    option = typer.Option(
        *names,
        help=escape(text),
        show_default=False if setting.default is None else default,
        rich_help_panel=TITLES[setting.scope],
    )
    return inspect.Parameter(
        setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[setting.kind | None, option]
    )


def _renamed(old: str, setting: Setting) -> inspect.Parameter:
    """Return a hidden option with the old name of a setting, which says the new one."""

    def refuse(value: object) -> None:
        if value is not None:
            raise UsageError(f"{_flag(old)}: {unknown_setting(old, [])}. Write {_flag(setting.name)}.")

    option = typer.Option(_flag(old), hidden=True, callback=refuse)
    return inspect.Parameter(
        old, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[setting.kind | None, option]
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
