"""Settings: from flags, else `FRESHRANK_*` variables, else a TOML file, else the domain's, else these defaults."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError
from typing_extensions import override

from flows.errors import UsageError
from flows.formats.field_map import check_fields
from flows.formats.times import TimeFormat, TimeUnit
from flows.kafka.client_settings import RESERVED, as_text
from flows.kafka.token_command import TokenCommand
from flows.monitoring.logging_setup import LogFormat
from flows.presets import UNKNOWN, Domain, DomainSource
from flows.steps.emit import Policy
from flows.steps.impute import Filling
from recmodels.base import Recommender
from recmodels.exploration.explorer import Explorer
from recmodels.specification import build_model


class SettingsError(UsageError):
    """Settings cannot be used. The message says which, what was expected, and what came unless it may be secret."""


class Settings(BaseSettings):
    """All that can be set. Every name is also a variable, `FRESHRANK_` and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FRESHRANK_", extra="forbid", hide_input_in_errors=True)
    file: ClassVar[Path | None] = None

    model: str = "blend"
    """`blend`, another model's name, `river:reco.BiasedMF(n_factors=32)` or `package.module:Class(argument=1)`."""
    top: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Items of a list."""
    repeats: Literal["allow", "exclude"] = "allow"
    """Whether a list may hold items that its user has interacted with."""
    domain: Domain | None = None
    """Sets `rewards`, `by_value`, `repeats` and the model's half-lives as usual for a kind of site, where they are not
    set themselves."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything that the model draws. A seed in the model's own arguments comes before it."""
    explore: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of the lists whose last slot goes to an item on trial (see `recmodels.exploration.explorer`); 0: none."""
    rewards: dict[str, float] = UNKNOWN
    """Reward by type of event, 1 for any other. At 0 or below the event speaks against the item."""
    by_value: list[str] = []
    """Types of event whose reward is multiplied by their value, such as the share of a video that was watched."""
    fill: dict[str, Filling] = {}
    """How a `value` or a field of the context that an event does not say is filled: `mean`, or `mode`."""
    dedup_window: Annotated[int, Field(ge=0)] = 10_000
    """So many event ids are remembered, to drop repeats."""
    hold_back: Annotated[float, Field(ge=0.0)] = 3.0
    """A user is held back who is this far above what others do, in widths of their middle half; 0: nobody is."""
    emit: Policy = "every"
    """Emit a list after `every` event, or only if it has `changed`."""
    emit_interval: Annotated[float, Field(ge=0.0)] = 0.0
    """Least seconds, by the events' time, between two lists of one user."""
    why: bool = False
    """Say with each item of a list what speaks for it most. It takes about as long as the list itself, and more."""
    min_score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Lists leave out items whose score is lower, and may be empty; not set: all stay."""
    max_users: Annotated[int, Field(ge=1)] = 1_000_000
    """So many users are known to the emission policy, and to `refresh`."""
    refresh: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    """A list is made anew when its user has been away for so many seconds, by the events' time; 0: never."""
    refreshes: Annotated[int, Field(ge=0, le=10)] = 1
    """So many times, each after four times as long an absence; then the list is withdrawn."""
    strangers: bool = False
    """Keep a list for whoever has none, under the empty key. With `refresh` there is one anyway."""

    fields: dict[str, str] = {}
    """Where a field of the input has another name, or stands in a nested object: `user = "actor.id"`. An empty path
    turns a field off."""
    time_unit: TimeUnit | None = None
    """What numbers in `timestamp` count: `s`, `ms`, `us`, `ns`, `d` (days), or `yyyymmdd` for dates written as digits.
    Not set: found by their size in a file, and seconds on Kafka."""
    time_zone: str = "UTC"
    """The zone of times that are written without one: `Europe/Berlin`, or an offset such as `+02:00`."""
    time_format: str | None = None
    """How times are written, in the codes of Python's `strptime`: `%d.%m.%Y %H:%M`. Not set: ISO 8601."""

    bootstrap: str = "localhost:9092"
    """Addresses of Kafka brokers, with commas between them."""
    input_topic: str = "events"
    output_topic: str = "lists"
    dead_letter_topic: str = "rejects"
    group: str = "freshrank"
    """The consumer group whose offsets show how far the job is."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where to begin in a topic of which nothing has been read."""
    create_topics: bool = True
    """Create the output topics where they are missing."""
    partitions: Annotated[int, Field(ge=1)] = 1
    """Of output topics that are created."""
    replication: Annotated[int, Field(ge=1)] = 1
    """Of output topics that are created."""
    kafka: dict[str, bool | int | float | str] = {}
    """Further librdkafka settings by their own names, such as `security.protocol`. Those that the job sets itself are
    refused."""
    kafka_password: SecretStr | None = None
    """`sasl.password`, better kept in a variable or a file than in `kafka`."""
    kafka_password_file: Path | None = None
    """A file that holds `sasl.password`."""
    kafka_token_command: str | None = None
    """Command that prints a token for SASL/OAUTHBEARER, alone or as JSON with `access_token` and `expires_in`."""
    compacted_input: bool = False
    """Accept an input topic of which the brokers keep only the newest event of each key."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Most records taken at once."""
    broker_patience: Annotated[float, Field(gt=0.0, le=2_000_000.0)] = 300.0
    """So many seconds the job waits for brokers that are away, then it ends."""
    too_large: Literal["stop", "dead-letter"] = "stop"
    """What happens with a list that is larger than the output topic allows."""
    lost_offsets: Literal["stop", "continue"] = "stop"
    """Where retention has removed records before they were read: stop, or continue at the first that is there."""

    recovery: Path | None = None
    """Directory of the state from which a stopped or killed job resumes. Without one it starts anew."""
    epoch_seconds: Annotated[float, Field(gt=0.0)] = 5.0
    """Time between two snapshots."""

    max_reject_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Stop when more than this share of 1,000 records is rejected; 1: never."""
    log_format: LogFormat = "text"
    """`text` for people, or `json`: one object a line."""
    metrics_host: str = "127.0.0.1"
    """The address on which `/metrics` and `/healthz` are served. They need no password: think before you open it."""
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """The port of these; 0: they are not served."""
    stalled_seconds: Annotated[float, Field(gt=0.0)] = 300.0
    """Time without progress after which `/healthz` says that the job is not alive."""
    serve: dict[str, Any] = {}
    """Settings of `freshrank serve` (see `flows.serve.settings`)."""

    @field_validator("model")
    @classmethod
    def _model_exists(cls, model: str) -> str:
        build_model(model, repeats="allow")
        return model

    @field_validator("fields")
    @classmethod
    def _fields_exist(cls, fields: dict[str, str]) -> dict[str, str]:
        check_fields(fields, "fields")
        return fields

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, zone: str) -> str:
        TimeFormat(zone=zone)
        return zone

    @property
    def times(self) -> TimeFormat:
        """How timestamps are read where nothing is found out by looking at them."""
        return TimeFormat(self.time_unit or "s", self.time_zone, self.time_format)

    @field_validator("kafka")
    @classmethod
    def _is_not_set_elsewhere(cls, kafka: dict[str, Any]) -> dict[str, Any]:
        for name in kafka:
            if name in RESERVED:
                raise ValueError(f"the job sets `{name}` itself: {RESERVED[name]}")
        return kafka

    @model_validator(mode="after")
    def _has_one_password(self) -> "Settings":
        given = {
            "`kafka_password`": self.kafka_password is not None,
            "`kafka_password_file`": self.kafka_password_file is not None,
            "`sasl.password` in the `kafka` table": "sasl.password" in self.kafka,
        }
        named = [name for name, is_given in given.items() if is_given]
        if len(named) > 1:
            raise ValueError(f"expected one Kafka password; {' and '.join(named)} each give one. Leave one of them.")
        return self

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
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        path = cls.file or _usual_file()
        if cls.file is not None or path.exists():
            sources.append(TomlConfigSettingsSource(settings_cls, path))
        sources.append(DomainSource(settings_cls))
        return tuple(sources)

    def build_model(self) -> Recommender:
        """Make the model anew."""
        model = build_model(self.model, repeats=self.repeats, seed=self.seed)
        return Explorer(model, share=self.explore, seed=self.seed) if self.explore else model

    @property
    def model_version(self) -> str:
        """Name and version of the model, as each list says it."""
        return self.build_model().version

    def client(self) -> dict[str, Any]:
        """Return the librdkafka settings that every Kafka client of the job shares.

        Raises:
            SettingsError: `kafka_password_file` cannot be read.
        """
        config: dict[str, Any] = {name: as_text(value) for name, value in self.kafka.items()}
        config["bootstrap.servers"] = self.bootstrap
        if self.kafka_token_command is not None:
            config["oauth_cb"] = TokenCommand(self.kafka_token_command)
        password = self.kafka_password.get_secret_value() if self.kafka_password else None
        if self.kafka_password_file is not None:
            password = _secret_of(self.kafka_password_file)
        if password is not None:
            config["sasl.password"] = password
        return config


def load_settings(file: Path | None = None, **flags: Any) -> Settings:
    """Read the settings.

    Args:
        file: A TOML file; None: `FRESHRANK_CONFIG`, else `freshrank.toml` if it is there.
        flags: Settings that come before all others.

    Raises:
        SettingsError: The file cannot be read, or a setting is unknown or not what it must be.
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
    except SourceError as error:  # a variable that must be JSON is not
        raise SettingsError(f'{error}. Tables are set by variables in JSON, such as {{"return": -1}}.') from None
    finally:
        Settings.file = None


def _usual_file() -> Path:
    return Path(os.environ.get("FRESHRANK_CONFIG", "freshrank.toml"))


def _secret_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:  # ValueError: bytes that are not UTF-8, which must not be shown
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(
            f"setting kafka_password_file: expected a file that holds the password; {path}: {said}. Correct the path, "
            "or let this user read it."
        ) from None


def _fault(found: dict[str, Any]) -> str:
    name = ".".join(map(str, found["loc"]))
    if found["type"] == "extra_forbidden":
        return f"setting {name}: there is no such setting. There are: {', '.join(Settings.model_fields)}."
    said = f"setting {name}: {found['msg'].removeprefix('Value error, ')}".removeprefix("setting : ")
    return said if name.startswith(("kafka", "model")) or not name else f"{said}; got {found['input']!r}"
