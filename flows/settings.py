"""Settings: from flags, else `FRESHRANK_*` variables, else a TOML file, else the domain's, else these defaults."""

import os
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError
from typing_extensions import override

from flows.errors import UsageError
from flows.formats.envelopes.decoder import EnvelopeName
from flows.formats.envelopes.topic_format import TopicFormat
from flows.formats.field_map import check_fields
from flows.formats.file_format import FileOptions
from flows.formats.times import TimeFormat, TimeUnit
from flows.kafka.client_settings import RESERVED, as_text
from flows.kafka.token_command import TokenCommand
from flows.kafka.topics import TopicChoice
from flows.monitoring.logging_setup import LogFormat
from flows.presets import UNKNOWN, Domain, DomainSource
from flows.setting_fields import RENAMED, Setting, setting, setting_of
from flows.steps.clean import Cleaning
from flows.steps.conditions import Condition
from flows.steps.emit import Emission, Policy
from flows.steps.features import Meaning
from flows.steps.impute import Filling
from flows.steps.learn import Learning
from flows.steps.refresh import Refreshing
from recmodels.base import Recommender
from recmodels.exploration.explorer import Explorer
from recmodels.specification import ModelInfo, build_model, model_info

__all__ = ["Settings", "SettingsError"]

PREFIX: Final = "FRESHRANK_"
"""Of the variables."""
OTHER_VARIABLES: Final = ("CONFIG", "DATA", "SERVE_", "TEST_", "FUZZ_")
"""Variables, or their beginnings, that are no settings of the job: the file, and those of `serve` and of our tests."""


class SettingsError(UsageError):
    """Settings cannot be used. The message says which, what was expected, and what came unless it may be secret."""


def _joined(topics: Any) -> Any:
    """Take a list of topics as one text."""
    return ",".join(map(str, topics)) if isinstance(topics, list) else topics


class Settings(BaseSettings):
    """All that can be set. Every name is also a variable, `FRESHRANK_` and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", hide_input_in_errors=True)
    file: ClassVar[Path | None] = None

    model: Annotated[
        str,
        setting(
            "lists",
            "Model: a name such as `blend`, several with `+` between them, `river:reco.BiasedMF(n_factors=32)` or "
            "`package.module:Class(argument=1)`. A recovery directory belongs to one model.",
            see="docs/models.md",
        ),
    ] = "blend"
    top: Annotated[int, setting("lists", "Number of items in a list.", ge=1, le=1_000)] = 10
    repeats: Annotated[
        Literal["allow", "exclude"],
        setting("lists", "Whether a list may hold items that its user has interacted with."),
    ] = "allow"
    domain: Annotated[
        Domain | None,
        setting(
            "lists",
            "Kind of site. It gives defaults to `rewards`, `by_value`, `repeats` and the half-lives of the model.",
            example='"news"',
            see="docs/domains.md",
        ),
    ] = None
    seed: Annotated[
        int,
        setting("lists", "Seed of all that the model draws. The same seed and log give the same lists.", ge=0),
    ] = 0
    explore: Annotated[
        float,
        setting(
            "lists",
            "Share of lists whose last slot goes to an item on trial, such as 0.05. 0 turns it off.",
            see="docs/models.md",
            is_tuned=True,
            ge=0.0,
            le=1.0,
        ),
    ] = 0.0
    rewards: Annotated[
        dict[str, float],
        setting(
            "lists",
            "Reward by type of event. Other types have 1. At 0 or below, the event speaks against the item.",
            see="docs/domains.md",
        ),
    ] = UNKNOWN
    by_value: Annotated[
        list[str],
        setting(
            "lists",
            "Types of event whose reward is multiplied by `value`, such as the watched share of a video.",
            see="docs/domains.md",
        ),
    ] = []
    fill: Annotated[
        dict[str, Filling],
        setting(
            "lists",
            "How a missing `value` or field of the context is filled: with the `mean` so far, or the `mode`, the most "
            'common word. Example: `{ device = "mode", value = "mean" }`.',
            is_tuned=True,
        ),
    ] = {}
    dedup_window: Annotated[
        int, setting("lists", "Number of event ids that are remembered to drop repeated events. 0 drops none.", ge=0)
    ] = 10_000
    hold_back: Annotated[
        float,
        setting(
            "lists",
            "Threshold of the bot filter: interquartile ranges above the third quartile of all users. 0 turns it off.",
            see="docs/operations.md",
            ge=0.0,
        ),
    ] = 3.0
    emit: Annotated[
        Policy,
        setting("lists", "Emit a list after every event, or only if its items or their order changed.", is_tuned=True),
    ] = "every"
    emit_interval: Annotated[
        float,
        setting("lists", "Shortest event time between two lists of one user.", unit="s", is_tuned=True, ge=0.0),
    ] = 0.0
    why: Annotated[
        bool,
        setting(
            "lists", "Add the largest parts of its score to each item of a list. It doubles the time.", is_tuned=True
        ),
    ] = False
    min_score: Annotated[
        float | None,
        setting(
            "lists",
            "Lowest score of an item in a list. A list may then be empty.",
            example="0.01",
            see="docs/scores.md",
            is_tuned=True,
            allow_inf_nan=False,
        ),
    ] = None
    max_users: Annotated[
        int,
        setting("lists", "Number of users that the emission policy and `refresh` remember.", is_tuned=True, ge=1),
    ] = 1_000_000
    refresh: Annotated[
        float,
        setting(
            "lists",
            "Idle time of a user, by event time, after which the list is made anew. 0 turns it off.",
            unit="s",
            see="docs/freshness.md",
            is_tuned=True,
            ge=0.0,
            allow_inf_nan=False,
        ),
    ] = 0.0
    refreshes: Annotated[
        int,
        setting(
            "lists",
            "Number of refreshes of an idle user, each after four times the idle time before. Then comes a tombstone.",
            see="docs/freshness.md",
            is_tuned=True,
            ge=0,
            le=10,
        ),
    ] = 1
    fallback: Annotated[
        bool,
        setting(
            "lists",
            "Emit a fallback list under the empty key. It serves users without a list, and users whose list is old: it "
            "says from which age. With `false` each event gives one list and nothing else. `refresh` turns it on, too.",
            see="docs/freshness.md",
            is_tuned=True,
        ),
    ] = True
    withdraw_stale: Annotated[
        bool,
        setting(
            "lists",
            "Write a tombstone when a list reaches the age from which the fallback list serves better. Turn it on if "
            "readers cannot compare ages.",
            see="docs/freshness.md",
            is_tuned=True,
        ),
    ] = False

    fields: Annotated[
        dict[str, str],
        setting(
            "input",
            'Path of a field of the input that has another name or is nested: `{ user = "actor.id" }`. An empty path '
            "turns a field off.",
        ),
    ] = {}
    time_unit: Annotated[
        TimeUnit | None,
        setting(
            "input",
            "Unit of numbers in `timestamp`. By default it is found by their size in a file, and is seconds on Kafka.",
            example='"ms"',
        ),
    ] = None
    time_zone: Annotated[
        str, setting("input", "Zone of times that name none: `Europe/Berlin`, or an offset such as `+02:00`.")
    ] = "UTC"
    time_format: Annotated[
        str | None,
        setting(
            "input",
            "Format of times in the codes of Python's `strptime`. By default it is ISO 8601.",
            example='"%d.%m.%Y %H:%M"',
        ),
    ] = None
    files: Annotated[
        dict[str, FileOptions],
        setting(
            "input",
            "How files are read, by patterns of their names: "
            '`{ "clicks*.csv" = { delimiter = ";", columns = ["user", "item", "-", "timestamp"] } }`.',
            see="docs/your-data.md",
        ),
    ] = {}

    bootstrap: Annotated[str, setting("kafka", "Addresses of Kafka brokers, with commas between them.")] = (
        "localhost:9092"
    )
    input_topic: Annotated[
        str,
        BeforeValidator(_joined),
        setting(
            "kafka",
            "Topic of the events, several of them, or a pattern: `^shop[.].*`. It must exist: `freshrank feed` creates "
            "it, `freshrank run` does not.",
            see="docs/kafka.md",
        ),
    ] = "events"
    output_topic: Annotated[str, setting("kafka", "Compacted topic of the lists. Its key is the user.")] = "lists"
    dead_letter_topic: Annotated[str, setting("kafka", "Topic of the records that cannot be used.")] = "rejects"
    group: Annotated[str, setting("kafka", "Consumer group whose offsets show the progress of the job.")] = "freshrank"
    start: Annotated[
        Literal["earliest", "latest"],
        setting("kafka", "Where to begin in a topic of which nothing has been read."),
    ] = "earliest"
    create_topics: Annotated[bool, setting("kafka", "Create output topics that are missing.")] = True
    partitions: Annotated[int, setting("kafka", "Number of partitions of the topics that are created.", ge=1)] = 1
    replication: Annotated[int, setting("kafka", "Number of replicas of the topics that are created.", ge=1)] = 1
    kafka: Annotated[
        dict[str, bool | int | float | str],
        setting(
            "kafka",
            "Further librdkafka settings, such as `security.protocol`. Those that the job sets itself are refused.",
            see="docs/kafka.md",
        ),
    ] = {}
    kafka_password: Annotated[
        SecretStr | None,
        setting("kafka", "`sasl.password`. Set it by a variable, or use `kafka_password_file`.", example='"..."'),
    ] = None
    kafka_password_file: Annotated[
        Path | None, setting("kafka", "File that holds `sasl.password`.", example='"/run/secrets/kafka_password"')
    ] = None
    kafka_token_command: Annotated[
        str | None,
        setting(
            "kafka",
            "Command that prints a token for SASL/OAUTHBEARER, alone or as JSON with `access_token` and `expires_in`.",
            example='"token-tool print"',
        ),
    ] = None
    envelope: Annotated[
        EnvelopeName,
        setting("kafka", "Envelope in which the topics hold the JSON of an event.", see="docs/kafka.md"),
    ] = "none"
    time_from: Annotated[
        Literal["record", "kafka"],
        setting("kafka", "Where an event's time comes from: its `timestamp`, or the Kafka timestamp of the record."),
    ] = "record"
    schema_registry: Annotated[
        dict[str, bool | int | float | str],
        setting(
            "kafka",
            'Settings of the schema registry client: `{ url = "http://registry:8081" }`. Records then have its frame, '
            "and hold Avro or JSON. It needs the extra `freshrank[avro]`.",
            see="docs/kafka.md",
        ),
    ] = {}
    topic_formats: Annotated[
        dict[str, TopicFormat],
        setting(
            "kafka",
            "Formats of topics that differ, by patterns of their names: "
            '`{ "items" = { kind = "item", envelope = "debezium", fields = { item = "id" } } }`.',
            see="docs/kafka.md",
        ),
    ] = {}
    compacted_input: Annotated[
        bool, setting("kafka", "Accept an input topic that keeps only the newest event of each key.")
    ] = False
    batch: Annotated[
        int,
        setting("kafka", "Largest number of records taken at once. Larger is faster, smaller is fresher.", ge=1),
    ] = 64
    broker_patience: Annotated[
        float,
        setting(
            "kafka",
            "Time that the job waits for brokers that are away. Then it ends.",
            unit="s",
            see="docs/kafka.md",
            gt=0.0,
            le=2_000_000.0,
        ),
    ] = 300.0
    too_large: Annotated[
        Literal["stop", "dead-letter"],
        setting("kafka", "What to do with a list that is larger than the output topic allows.", see="docs/kafka.md"),
    ] = "stop"
    lost_offsets: Annotated[
        Literal["stop", "continue"],
        setting(
            "kafka",
            "What to do if retention removed records before they were read. `continue` goes on at the first one left.",
            see="docs/kafka.md",
        ),
    ] = "stop"

    connector: Annotated[
        str,
        setting(
            "job",
            "System at both ends of the job: `kafka`, or `package.module:Class` for one of your own.",
            see="docs/connectors.md",
        ),
    ] = "kafka"
    recovery: Annotated[
        Path | None,
        setting(
            "job",
            "Directory of the state from which a stopped or killed job resumes. Without one the job starts anew.",
            example='"/var/lib/freshrank"',
            see="docs/guarantees.md",
        ),
    ] = None
    epoch_seconds: Annotated[float, setting("job", "Time between two snapshots.", unit="s", gt=0.0)] = 5.0
    max_reject_rate: Annotated[
        float,
        setting(
            "job", "Share of 1,000 records that may be rejected before the job stops. 1 never stops it.", ge=0.0, le=1.0
        ),
    ] = 1.0
    log_format: Annotated[
        LogFormat,
        setting("job", "Lines for people, or one JSON object a line.", see="docs/operations.md"),
    ] = "text"
    metrics_host: Annotated[
        str,
        setting(
            "job",
            "Address on which `/metrics` and `/healthz` are served. They need no password.",
            see="docs/operations.md",
        ),
    ] = "127.0.0.1"
    metrics_port: Annotated[
        int, setting("job", "Port of `/metrics` and `/healthz`. 0 serves neither.", ge=0, le=65_535)
    ] = 0
    stalled_seconds: Annotated[
        float,
        setting("job", "Time without progress after which `/healthz` reports the job as not alive.", unit="s", gt=0.0),
    ] = 300.0
    serve: Annotated[
        dict[str, Any],
        setting("job", "Settings of `freshrank serve`: `{ port = 8080 }`, or a table `[serve]`."),
    ] = {}

    @field_validator("model")
    @classmethod
    def _model_exists(cls, model: str) -> str:
        model_info(model)
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

    @field_validator("input_topic")
    @classmethod
    def _names_topics(cls, text: str) -> str:
        TopicChoice(text)
        return text

    @property
    def topics(self) -> TopicChoice:
        """The input topics."""
        return TopicChoice(self.input_topic)

    @property
    def file_options(self) -> list[tuple[str, FileOptions]]:
        """What is told of files, by pattern; what comes first wins."""
        every = FileOptions(
            self.fields, time_unit=self.time_unit, time_zone=self.time_zone, time_format=self.time_format
        )
        return [*self.files.items(), ("*", every)]

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
        _expect_known_variables()
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
    def model_info(self) -> ModelInfo:
        """What is known of the model without making it."""
        info = model_info(self.model)
        return info._replace(version=Explorer.version_of(info.version)) if self.explore else info

    def cleaning(self) -> Cleaning:
        """Return what the step `clean` drops."""
        return Cleaning(dedup_window=self.dedup_window, bot_threshold=self.hold_back)

    def meaning(self, is_positive: Condition | None = None) -> Meaning:
        """Return what an interaction means; one that does not meet the condition is learned as not positive."""
        return Meaning(rewards=self.rewards, by_value=self.by_value, fill=self.fill, is_positive=is_positive)

    def refreshing(self) -> Refreshing:
        """Return which lists are made without an event of their user."""
        return Refreshing(after=self.refresh, times=self.refreshes, fallback=self.fallback, max_users=self.max_users)

    def learning(self, **more: Any) -> Learning:
        """Return the model and what is asked of it; `more` are further arguments of `Learning`."""
        return Learning(build_model=self.build_model, top=self.top, why=self.why, **more)

    def emission(self) -> Emission:
        """Return which lists go out."""
        return Emission(
            policy=self.emit,
            interval=self.emit_interval,
            max_users=self.max_users,
            min_score=self.min_score,
            fallback=self.makes_requests,
            withdraw_stale=self.withdraw_stale,
        )

    @property
    def makes_requests(self) -> bool:
        """Whether the job asks for lists itself: of idle users, and the fallback list."""
        return self.refresh > 0 or self.fallback

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


def all_settings() -> list[Setting]:
    """Return the description of every setting, in the order of the file.

    >>> [each.name for each in all_settings() if each.is_tuned][:3]
    ['explore', 'fill', 'emit']
    """
    return [setting_of(name, field) for name, field in Settings.model_fields.items()]


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """Say what to write for a setting that does not exist: its new name, or the nearest known one.

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
        return f"setting {name}: {unknown_setting(name, Settings.model_fields)}."
    said = f"setting {name}: {found['msg'].removeprefix('Value error, ')}".removeprefix("setting : ")
    return said if name.startswith(("kafka", "model")) or not name else f"{said}; got {found['input']!r}"
