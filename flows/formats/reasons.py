"""The fixed phrases that say which rule a record breaks."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a record was rejected."""

    EMPTY_RECORD = "empty record"
    RECORD_TOO_LONG = "record too long"
    NOT_UTF8 = "not UTF-8"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not an object"
    TOO_DEEP = "nested too deep"
    MALFORMED_ROW = "malformed row"
    UNKNOWN_KIND = "unknown kind"
    MISSING_FIELD = "missing field"
    WRONG_TYPE = "wrong type"
    EMPTY_ID = "empty id"
    TOO_LONG = "too long"
    NUL = "NUL character"
    NOT_FINITE = "not finite"
    NOT_A_TIME = "not a time"
    TIME_OUT_OF_RANGE = "timestamp out of range"
    NO_ENVELOPE = "not in its envelope"
    UNKNOWN_SCHEMA = "unknown schema"
    WRONG_SCHEMA = "does not match its schema"


class RejectError(Exception):
    """A rule was broken: `reason`, and the `field` at fault or an empty string."""

    def __init__(self, reason: Reason, field: str = "") -> None:
        super().__init__(reason, field)
        self.reason = reason
        self.field = field
