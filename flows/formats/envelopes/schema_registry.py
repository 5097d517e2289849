"""The schema registry's frame: a zero byte, the id of a schema in four bytes, then JSON or Avro.

The client and the deserializers are confluent-kafka's own; they come with the extra `freshrank[avro]`.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from flows.errors import JobError, UsageError
from flows.formats.reasons import Reason, RejectError
from flows.messages import Raw

MAGIC: Final = 0
_HEADER_BYTES: Final = 5
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 1.0
_GONE: Final = 404
_UNKNOWN_SECONDS: Final = 60.0
"""How long a schema that the registry does not know is not asked for again."""


class RegistryError(JobError):
    """The schema registry does not answer, or refuses the job."""


class RegistryFrame:
    """Reads framed records with the schema that each names.

    Args:
        config: Settings of confluent-kafka's `SchemaRegistryClient`: `url`, `basic.auth.user.info`, `ssl.ca.location`.

    Raises:
        UsageError: The extra is not installed, or a setting is wrong.
        RegistryError: From a call: the registry does not answer. A record is not rejected for that.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError as error:
            raise UsageError(
                f"`schema_registry` needs an extra that is not installed ({error}): pip install 'freshrank[avro]'."
            ) from None
        self.url = config.get("url", "")
        try:
            self._client = SchemaRegistryClient(dict(config))
        except (ValueError, TypeError) as error:
            raise UsageError(f"setting schema_registry: {error}. Correct the table.") from None
        self._readers: dict[int, Any] = {}
        self._unknown: dict[int, float] = {}

    def __call__(self, raw: Raw) -> Any:
        """Return the decoded record.

        Raises:
            RejectError: There is no frame, the registry knows no such schema, or the data does not match it.
        """
        from confluent_kafka.error import ConsumeError
        from confluent_kafka.schema_registry.error import SchemaRegistryError
        from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

        value = raw.value or b""
        if len(value) < _HEADER_BYTES or value[0] != MAGIC:
            raise RejectError(Reason.NO_ENVELOPE)
        number = int.from_bytes(value[1:_HEADER_BYTES], "big")
        reader = self._readers.get(number) or self._reader(number)
        try:
            return reader(value, SerializationContext(raw.topic, MessageField.VALUE))
        except SchemaRegistryError as error:  # a schema that this one refers to
            raise self._failed(error) from None
        except (SerializationError, ConsumeError, ValueError, TypeError, EOFError, IndexError, KeyError):
            raise RejectError(Reason.WRONG_SCHEMA) from None

    def _reader(self, number: int) -> Any:
        if time.monotonic() - self._unknown.get(number, -_UNKNOWN_SECONDS) < _UNKNOWN_SECONDS:
            raise RejectError(Reason.UNKNOWN_SCHEMA)
        kind = self._kind(number)
        if kind == "AVRO":
            from confluent_kafka.schema_registry.avro import AvroDeserializer

            self._readers[number] = AvroDeserializer(self._client)
        elif kind == "JSON":
            from confluent_kafka.schema_registry.json_schema import JSONDeserializer

            self._readers[number] = JSONDeserializer(None, schema_registry_client=self._client)
        else:
            raise RejectError(Reason.UNKNOWN_SCHEMA)
        return self._readers[number]

    def _kind(self, number: int) -> str:
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        for attempt in range(_TRIES):
            try:
                return str(self._client.get_schema(number).schema_type).upper()
            except SchemaRegistryError as error:
                if error.http_status_code == _GONE:
                    self._unknown[number] = time.monotonic()
                    raise RejectError(Reason.UNKNOWN_SCHEMA) from None
                failure: Exception = error
            except Exception as error:  # the HTTP client's own errors: no answer, no such host, a bad certificate
                failure = error
            if attempt + 1 < _TRIES:
                time.sleep(_PAUSE_SECONDS)
        raise self._failed(failure) from None

    def _failed(self, error: Exception) -> RegistryError:
        return RegistryError(
            f"schema registry {self.url}: expected a schema; {error or type(error).__name__}. Is it running, and is"
            " `schema_registry` right? Start the job again: it goes on from its last snapshot."
        )
