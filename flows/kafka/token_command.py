"""Tokens for SASL/OAUTHBEARER from a command, such as a cloud provider's command line."""

import base64
import binascii
import logging
import shlex
import subprocess
import time
from typing import Any, Final

import orjson

logger = logging.getLogger(__name__)

_SECONDS: Final = 30.0
"""Timeout of the command in seconds."""
_UNKNOWN_LIFE: Final = 300.0
"""Seconds that a token counts as valid if neither the token nor the command says how long."""


class TokenError(Exception):
    """The command gave no token. The client tries again."""


class TokenCommand:
    """Callback (`oauth_cb`) that runs a command whenever the client needs a token.

    The command prints the token alone, or a JSON object with `access_token` and `expires_in` (seconds), as token
    endpoints answer. Without `expires_in` the claim `exp` of a JSON Web Token says how long it is valid.

    Args:
        command: The command with its arguments. It runs without a shell.

    >>> token, expiry = TokenCommand('echo \\'{"access_token": "abc", "expires_in": 60}\\'')("")
    >>> token, round(expiry - time.time())
    ('abc', 60)
    """

    def __init__(self, command: str) -> None:
        self.command = command

    def __call__(self, config: str) -> tuple[str, float]:
        """Return a token and the Unix seconds at which it expires.

        Raises:
            TokenError: The command cannot be run, fails, or prints no token.
        """
        name = shlex.split(self.command)[0] if self.command.strip() else ""
        expected = f"kafka_token_command: expected {name!r} to print a token"
        try:
            done = subprocess.run(shlex.split(self.command), capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
            raise self._failed(f"{expected}; {error}.") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it says nothing"]
            raise self._failed(f"{expected}; it ended with status {done.returncode}: {said[0]}.")
        found = _token_in(done.stdout.strip())
        if found is None:
            raise self._failed(f"{expected}; it printed none.")
        return found

    def _failed(self, said: str) -> TokenError:
        logger.warning("%s", said)
        return TokenError(said)


def _token_in(printed: bytes) -> tuple[str, float] | None:
    token, life = printed.decode(errors="replace"), None
    if printed.startswith(b"{"):
        answer = _object_in(printed)
        token, life = str(answer.get("access_token", "")), answer.get("expires_in")
    if not token or any(character.isspace() for character in token):
        return None
    if isinstance(life, int | float):
        return token, time.time() + life
    return token, _expiry_of(token) or time.time() + _UNKNOWN_LIFE


def _expiry_of(token: str) -> float | None:
    """Return the claim `exp` of a JSON Web Token, in Unix seconds; None if the token is not one."""
    claims = token.split(".")[1:2]
    try:
        payload = base64.urlsafe_b64decode(claims[0] + "==") if claims else b""
    except (binascii.Error, ValueError):
        return None
    expiry = _object_in(payload).get("exp")
    return float(expiry) if isinstance(expiry, int | float) else None


def _object_in(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
