"""Endpoints: one table gives both the routes and the OpenAPI document."""

import types
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from flows.formats.validation import MAX_ID_BYTES, RejectError, check_id
from flows.serve.access import Role
from flows.serve.http_errors import HttpError

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True)
class Endpoint:
    """One path and method.

    Attributes:
        method: `GET` or `POST`.
        path: The path. An id in it is written `{user:id}`.
        summary: Description in one sentence.
        handler: Function that answers.
        role: Role that is needed. None: none.
        query: Type of the query's parameters.
        body: Type of the body, by media type.
        answer: Type of a good answer, or a media type if it is not JSON.
        errors: Other answers, by status.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Request], Awaitable[Response]]
    role: Role | None = None
    query: type[msgspec.Struct] | None = None
    body: Mapping[str, Any] | None = None
    answer: Any = None
    errors: Mapping[int, str] | None = None

    @property
    def name(self) -> str:
        """The path without its convertors, as OpenAPI and the metrics write it."""
        return self.path.replace(":id}", "}")


class _IdConvertor(Convertor[str]):
    """An id in a path, percent-encoded: it may hold slashes and quotes."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value, errors="surrogateescape")  # `id_of` refuses what is not UTF-8

    def to_string(self, value: str) -> str:
        raise NotImplementedError


register_url_convertor("id", _IdConvertor())


def id_of(request: Request, name: str) -> str:
    """Return an id of the path.

    Raises:
        HttpError: It cannot be an id.
    """
    found = str(request.path_params[name])
    return checked_id(found, name)


def checked_id(found: str, name: str) -> str:
    """Return an id if it can be one.

    Raises:
        HttpError: It cannot.
    """
    try:
        found.encode()
        check_id(found, name)
    except (RejectError, UnicodeEncodeError):
        raise HttpError(
            400, f"{name}: expected an id of 1 to {MAX_ID_BYTES:,} bytes of UTF-8 without NUL; got {found[:40]!r}"
        ) from None
    return found


def query_of(request: Request, kind: type[T]) -> T:
    """Read the parameters of a query.

    Raises:
        HttpError: One is unknown or not what it must be.
    """
    return read_parameters(request.query_params.multi_items(), kind)


def read_parameters(pairs: Sequence[tuple[str, str]], kind: type[T]) -> T:
    """Read parameters into a struct; a field that is a list takes repeated parameters and values with commas.

    >>> class Wanted(msgspec.Struct):
    ...     n: int = 10
    ...     exclude: list[str] = []
    >>> read_parameters([("n", "3"), ("exclude", "i1,i2"), ("exclude", "i3")], Wanted)
    Wanted(n=3, exclude=['i1', 'i2', 'i3'])
    """
    fields = _fields(kind)
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise HttpError(400, f"parameter {name[:40]!r}: there is no such parameter. There are: {known}.")
        if fields[name]:
            found.setdefault(name, []).extend(value.split(","))
        else:
            found[name] = value
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        said = str(error).replace("`$.", "`").replace(" - at", ": parameter")
        raise HttpError(400, said) from None


_KNOWN: dict[type[msgspec.Struct], dict[str, bool]] = {}


def _fields(kind: type[msgspec.Struct]) -> dict[str, bool]:
    """Return the names of a struct's fields, and whether each is a list."""
    if kind not in _KNOWN:
        hints = typing.get_type_hints(kind)
        _KNOWN[kind] = {
            field.encode_name: typing.get_origin(hints[field.name]) is list for field in msgspec.structs.fields(kind)
        }
    return _KNOWN[kind]


def types_in(annotation: Any) -> list[Any]:
    """Return the members of a union, or the type itself."""
    is_union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    return list(typing.get_args(annotation)) if is_union else [annotation]
