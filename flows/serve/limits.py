"""Limits on requests: requests per second of a client, and bytes of a body."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.requests import ClientDisconnect, Request

from flows.serve.http_errors import HttpError

MAX_CLIENTS: Final = 10_000
"""Largest number of clients whose rate is known. Beyond it the one that was idle longest is dropped."""
BURST_SECONDS: Final = 2.0
"""Seconds whose requests an idle client may send at once."""


class RateLimit:
    """A token bucket for each client.

    Args:
        rate: Requests per second. 0: no limit.
        clock: Seconds that only go forward.

    >>> now = [0.0]
    >>> limit = RateLimit(1.0, lambda: now[0])
    >>> [limit.wait("ann") for _ in range(3)]
    [0.0, 0.0, 1.0]
    >>> now[0] = 1.0
    >>> limit.wait("ann"), limit.wait("bob")
    (0.0, 0.0)
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Count a request. Return 0, or the seconds after which the client may try again."""
        if not self.rate:
            return 0.0
        now, most = self._clock(), max(1.0, self.rate * BURST_SECONDS)
        left, then = self._left.pop(client, (most, now))
        left = min(most, left + (now - then) * self.rate)
        is_allowed = left >= 1.0
        self._left[client] = (left - 1.0 if is_allowed else left, now)
        if len(self._left) > MAX_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if is_allowed else (1.0 - left) / self.rate


async def read_body(request: Request, limit: int) -> bytes:
    """Return a request's body.

    Raises:
        HttpError: The body has more than `limit` bytes, or the client hung up.
    """
    declared = request.headers.get("content-length", "0")
    too_large = HttpError(413, f"expected a body of at most {limit:,} bytes; send fewer events at once")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
    except ClientDisconnect:
        raise HttpError(400, "the client hung up before the body was complete") from None
    return b"".join(parts)
