"""Set-up of logging: lines for people, or one JSON object a line. Secrets are masked in both."""

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import IO, Any, Final, Literal, TypeAlias

import orjson
from typing_extensions import override

LogFormat: TypeAlias = Literal["text", "json"]

logger = logging.getLogger(__name__)


class BlottingFormatter(logging.Formatter):
    """Formats a record as text, with `***` in place of secrets.

    Args:
        secrets: Texts that must not be shown.

    >>> record = logging.makeLogRecord({"msg": "user me, password hunter2", "levelname": "INFO"})
    >>> BlottingFormatter(["hunter2"]).format(record).partition("INFO ")[2]
    'user me, password ***'
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        plain = {secret for secret in secrets if secret}
        escaped = {orjson.dumps(secret).decode()[1:-1] for secret in plain}
        self._secrets = sorted(plain | escaped, key=len, reverse=True)

    @override
    def format(self, record: logging.LogRecord) -> str:
        text = self.compose(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def compose(self, record: logging.LogRecord) -> str:
        """Return the record as text, before secrets are masked."""
        return super().format(record)


_ORDINARY: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class JsonFormatter(BlottingFormatter):
    """Formats a record as one JSON object: `time`, `level`, `logger`, `message`, the record's extras, `exception`.

    >>> said = {"name": "flows.job.run", "levelname": "INFO", "created": 0, "msg": "%d lists", "args": (7,), "lists": 7}
    >>> JsonFormatter().format(logging.makeLogRecord(said))
    '{"time":"1970-01-01T00:00:00.000Z","level":"INFO","logger":"flows.job.run","message":"7 lists","lists":7}'
    """

    @override
    def compose(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _ORDINARY},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def set_up_logging(log_format: LogFormat, secrets: Iterable[str], stream: IO[str] | None = None) -> None:
    """Send all logs of the process to stderr in one form, including Python's warnings and uncaught exceptions.

    Args:
        log_format: "text" or "json".
        secrets: Texts that must not be shown.
        stream: Stream to write to. None: stderr.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter((JsonFormatter if log_format == "json" else BlottingFormatter)(secrets))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: logger.critical("the job failed", exc_info=(kind, error, trace))


def are_logs_json() -> bool:
    """Return whether logs are JSON. Then nothing else should be written to stderr."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
