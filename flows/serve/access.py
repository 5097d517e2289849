"""Access control: bearer tokens from a file, each with a role."""

from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from flows.errors import UsageError

Role: TypeAlias = Literal["read", "write", "admin"]
"""`read`: lists, users, items and the live page. `write`: interactions and requests. `admin`: both, and item events
and erasures."""

MIN_TOKEN: Final = 16
"""Least number of characters of a token."""


class TokensError(UsageError):
    """The file of tokens cannot be used."""


class Access:
    """Maps tokens to roles. Without tokens every request is allowed.

    Args:
        roles: Role by token.

    >>> access = Access({"correct-horse-battery": "read"})
    >>> access.role_of("Bearer correct-horse-battery"), access.role_of("Bearer wrong"), access.role_of(None)
    ('read', None, None)
    >>> access.allows("read", "write"), access.allows("admin", "write"), Access({}).allows(None, "admin")
    (False, True, True)
    """

    def __init__(self, roles: dict[str, Role]) -> None:
        # Looked up by digest, so that the time of the look-up reveals nothing about a token.
        self._roles = {_digest(token): role for token, role in roles.items()}

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return not self._roles

    def role_of(self, authorization: str | None) -> Role | None:
        """Return the role of an `Authorization` header. None: there is no such token."""
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        return self._roles.get(_digest(token.strip())) if scheme.lower() == "bearer" else None

    def allows(self, role: Role | None, needed: Role) -> bool:
        """Say whether a role includes the needed one."""
        return self.is_open or role in (needed, "admin")


def read_tokens(path: Path | None) -> Access:
    """Read a file with a role and a token on each line; `#` begins a comment.

    Raises:
        TokensError: The file cannot be read, or a line is none of these.
    """
    if path is None:
        return Access({})
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TokensError(f"{path}: expected a file of tokens; {said}. Correct the path in `serve.tokens`.") from None
    roles: dict[str, Role] = {}
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        role = next((each for each in get_args(Role) if each == words[0]), None)
        if role is None or len(words) != 2 or len(words[1]) < MIN_TOKEN:
            raise TokensError(  # the line itself may hold a secret
                f"{path}:{number}: expected `read`, `write` or `admin` and a token of at least {MIN_TOKEN} characters, "
                "such as `read 3f9c0d...`."
            )
        roles[words[1]] = role
    if not roles:
        raise TokensError(f"{path}: expected at least one token; there is none.")
    return Access(roles)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogateescape")).digest()
