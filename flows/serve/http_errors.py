"""Error answers of the HTTP server."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response


class ErrorAnswer(msgspec.Struct):
    """Body of every answer with a status of 400 or more."""

    error: str
    """What was expected, what came, and what to do."""


class HttpError(Exception):
    """Ends a request with a status and one sentence.

    Args:
        status: The HTTP status.
        message: What was expected, what came, and what to do.
        headers: Further headers.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}

    def response(self) -> Response:
        """Return the answer."""
        return json_response(ErrorAnswer(self.message), self.status, self.headers)


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as an answer in JSON."""
    return Response(msgspec.json.encode(value), status, dict(headers or {}), "application/json")
