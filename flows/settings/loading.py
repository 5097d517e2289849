"""Loading of settings: from flags, else `FRESHRANK_*` variables, else a TOML file, else the domain's, else defaults."""

import logging
import os
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError
from typing_extensions import override

from flows.presets import DomainSource
from flows.setting_fields import RENAMED, Setting, setting_of
from flows.settings.errors import SettingsError
from flows.settings.experiment import ExperimentSettings
from flows.settings.input import InputSettings
from flows.settings.job import JobSettings
from flows.settings.kafka import KafkaSettings
from flows.state.job_file import models_in_force
from recmodels.specification import OwnCodeError

logger = logging.getLogger(__name__)

PREFIX: Final = "FRESHRANK_"
"""Prefix of the variables."""
OTHER_VARIABLES: Final = ("CONFIG", "DATA", "SERVE_", "TEST_", "FUZZ_")
"""Beginnings, after the prefix, of variables that are not settings of the job. They belong to the file's path, to
`serve` and to our tests."""


class Settings(JobSettings, KafkaSettings, InputSettings, ExperimentSettings, BaseSettings):
    """All settings of the job, in four groups. The variable of a setting is `FRESHRANK_` and its name in capitals.

    >>> settings = Settings(model="popularity", top=3)
    >>> settings.top, settings.group
    (3, 'freshrank')
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", hide_input_in_errors=True)
    file: ClassVar[Path | None] = None

    @property
    @override
    def takes_back(self) -> bool:
        """Whether an event may take an earlier one back: by its type (`undo`), or as a deleted row (Debezium)."""
        formats = [self.envelope, *(each.envelope for each in self.topic_formats.values() if each.kind != "item")]
        return bool(self.undo) or "debezium" in formats

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        _expect_known_variables()
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        path = cls.file or _usual_file()
        if cls.file is not None or path.exists():
            sources.append(TomlConfigSettingsSource(settings_cls, path))
        sources.append(DomainSource(settings_cls))
        return tuple(sources)

    def of_shard(self) -> Self:
        """Return the settings of a shard: its state is in a folder of its own.

        >>> Settings(shard="1/2", recovery="state").of_shard().recovery.as_posix()
        'state/shard-1'
        """
        if (shard := self.own_shard) is None or self.recovery is None:
            return self
        return self.model_copy(update={"recovery": self.recovery / shard.name})

    def after_promotion(self) -> Self:
        """Return the settings with the models that a job runs. A promotion may have swapped them in its directory.

        >>> Settings(model="popularity").after_promotion().model
        'popularity'
        """
        model, challenger = models_in_force(self.recovery, self.model, self.challenger)
        if (model, challenger) == (self.model, self.challenger):
            return self
        logger.info(
            "%s was promoted, and %s is the challenger. Set `model` and `challenger` so, before you change either.",
            model,
            challenger,
        )
        return self.model_copy(update={"model": model, "challenger": challenger})

    @property
    def item_topics(self) -> dict[str, str]:
        """The topics of the lists of items that the job makes, by the names of the settings.

        >>> Settings(related=1.0).item_topics
        {'related_topic': 'related'}
        """
        return {
            f"{kind}_topic": str(getattr(self, f"{kind}_topic"))
            for kind in ("related", "trending")
            if getattr(self, kind)
        }


def load_settings(file: Path | None = None, **flags: Any) -> Settings:
    """Read the settings.

    Args:
        file: A TOML file. None: the path in `FRESHRANK_CONFIG`, else `freshrank.toml` if it exists.
        flags: Settings with precedence over all others.

    Raises:
        SettingsError: The file cannot be read, or a setting is unknown or not valid.
    """
    if file is not None and not file.is_file():
        raise SettingsError(f"{file}: expected a TOML file of settings; there is no such file.")
    Settings.file = file
    try:
        return Settings(**flags)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file or _usual_file()}: expected a TOML file of settings; {error}.") from None
    except ValidationError as error:
        raise SettingsError("\n".join(_fault(dict(found)) for found in error.errors())) from None
    except SourceError as error:  # a variable that must hold JSON does not
        raise SettingsError(f'{error}. Tables are set by variables in JSON, such as {{"return": -1}}.') from None
    finally:
        Settings.file = None


def all_settings() -> list[Setting]:
    """Return the description of every setting, in the order of the file.

    >>> [each.name for each in all_settings() if each.is_tuned][:3]
    ['explore', 'fill', 'emit']
    """
    return [setting_of(name, field) for name, field in Settings.model_fields.items()]


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """Return advice for a setting that does not exist: its new name, or the nearest known one.

    >>> unknown_setting("strangers", ["fallback"]), unknown_setting("tpo", ["top", "model"])
    ('it is called fallback now', 'there is no such setting. The nearest is top')
    """
    if name in RENAMED:
        return f"it is called {RENAMED[name]} now"
    known = list(known)
    nearest = get_close_matches(name, known, n=1)
    return (
        f"there is no such setting. {f'The nearest is {nearest[0]}' if nearest else 'There are: ' + ', '.join(known)}"
    )


def _expect_known_variables() -> None:
    for variable in sorted(os.environ):
        name = variable.removeprefix(PREFIX).lower()
        is_ours = variable.startswith(PREFIX) and not name.upper().startswith(OTHER_VARIABLES)
        if is_ours and name not in Settings.model_fields:
            said = unknown_setting(name, Settings.model_fields)
            raise SettingsError(f"variable {variable}: {said}. Correct the name, or unset the variable.")


def _usual_file() -> Path:
    return Path(os.environ.get("FRESHRANK_CONFIG", "freshrank.toml"))


def _fault(found: dict[str, Any]) -> str:
    name = ".".join(map(str, found["loc"]))
    if found["type"] == "extra_forbidden":
        return f"setting {name}: {unknown_setting(name, Settings.model_fields)}."
    if isinstance(error := found.get("ctx", {}).get("error"), OwnCodeError):
        return str(error)  # which begins with the user's own line
    said = f"setting {name}: {found['msg'].removeprefix('Value error, ')}".removeprefix("setting : ")
    return said if name.startswith(("kafka", "model", "challenger")) or not name else f"{said}; got {found['input']!r}"
