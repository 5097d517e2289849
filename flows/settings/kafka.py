"""Settings of Kafka: brokers, topics, credentials, and what to do in an outage."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, SecretStr, field_validator, model_validator

from flows.formats.envelopes.decoder import EnvelopeName
from flows.formats.envelopes.topic_format import TopicFormat
from flows.kafka.client_settings import RESERVED, as_text
from flows.kafka.token_command import TokenCommand
from flows.kafka.topics import TopicChoice
from flows.setting_fields import setting
from flows.settings.errors import SettingsError


def _joined(topics: Any) -> Any:
    """Join a list of topics to one text."""
    return ",".join(map(str, topics)) if isinstance(topics, list) else topics


class KafkaSettings(BaseModel):
    """Settings of the job's Kafka connector."""

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
    related_topic: Annotated[
        str, setting("kafka", "Compacted topic of related items, where `related` is above 0. Its key is the item.")
    ] = "related"
    trending_topic: Annotated[
        str,
        setting(
            "kafka",
            "Compacted topic of trending items, where `trending` is above 0. Its key is the tag, or empty for all "
            "items.",
        ),
    ] = "trending"
    dead_letter_topic: Annotated[str, setting("kafka", "Topic of the records that cannot be used.")] = "rejects"
    delta_topic: Annotated[
        str | None,
        setting(
            "kafka",
            "Topic by which shards tell each other what they learn of items. By default the output topic's name and "
            "`-deltas`.",
            example='"lists-deltas"',
            see="docs/scale-out.md",
        ),
    ] = None
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

    @field_validator("input_topic")
    @classmethod
    def _names_topics(cls, text: str) -> str:
        TopicChoice(text)
        return text

    @property
    def deltas(self) -> str:
        """The topic of deltas.

        >>> KafkaSettings(output_topic="lists").deltas
        'lists-deltas'
        """
        return self.delta_topic or f"{self.output_topic}-deltas"

    @property
    def topics(self) -> TopicChoice:
        """Choice of the input topics."""
        return TopicChoice(self.input_topic)

    @field_validator("kafka")
    @classmethod
    def _is_not_set_elsewhere(cls, kafka: dict[str, Any]) -> dict[str, Any]:
        for name in kafka:
            if name in RESERVED:
                raise ValueError(f"the job sets `{name}` itself: {RESERVED[name]}")
        return kafka

    @model_validator(mode="after")
    def _has_one_password(self) -> "KafkaSettings":
        given = {
            "`kafka_password`": self.kafka_password is not None,
            "`kafka_password_file`": self.kafka_password_file is not None,
            "`sasl.password` in the `kafka` table": "sasl.password" in self.kafka,
        }
        named = [name for name, is_given in given.items() if is_given]
        if len(named) > 1:
            raise ValueError(f"expected one Kafka password; {' and '.join(named)} each give one. Leave one of them.")
        return self

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


def _secret_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:  # ValueError: bytes that are not UTF-8, which must not be shown
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(
            f"setting kafka_password_file: expected a file that holds the password; {path}: {said}. Correct the path, "
            "or let this user read it."
        ) from None
