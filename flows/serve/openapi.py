"""The OpenAPI document, made from the table of endpoints, and the page that shows it without outside resources."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from flows.serve.endpoints import Endpoint
from flows.serve.http_errors import ErrorAnswer

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


def openapi(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """Describe endpoints in OpenAPI 3.1.

    Args:
        endpoints: The table.
        version: Version of the program.
    """
    structs = _structs(endpoints)
    schemas, components = msgspec.json.schema_components(structs, ref_template=_REF)
    by_type: dict[Any, Any] = dict(zip(structs, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.name, {})[endpoint.method.lower()] = _operation(endpoint, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "freshrank serve",
            "version": version,
            "description": "Lists, events and the live view of a freshrank job. Ids in a path are percent-encoded.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _structs(endpoints: Sequence[Endpoint]) -> list[Any]:
    found: list[Any] = [ErrorAnswer]
    for endpoint in endpoints:
        for each in (endpoint.query, endpoint.answer, *(endpoint.body or {}).values()):
            if isinstance(each, type) and issubclass(each, msgspec.Struct) and each not in found:
                found.append(each)
    return found


def _schema(described: Any, by_type: Mapping[Any, Any]) -> Any:
    """Return the schema of a struct; anything else is a schema already."""
    return by_type[described] if isinstance(described, type) else described


def _operation(endpoint: Endpoint, by_type: Mapping[Any, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(endpoint.name)
    ]
    if endpoint.query is not None:
        described = components[endpoint.query.__name__]
        parameters += [_query_parameter(name, schema) for name, schema in described["properties"].items()]
    answer = endpoint.answer
    content: dict[str, Any] = {}
    if isinstance(answer, str):
        content = {answer: {"schema": {"type": "string"}}}
    elif answer is not None:
        content = {"application/json": {"schema": _schema(answer, by_type)}}
    said = {"application/json": {"schema": by_type[ErrorAnswer]}}
    responses: dict[str, Any] = {"200": {"description": "The answer.", **({"content": content} if content else {})}}
    errors = {**(endpoint.errors or {})}
    if endpoint.role is not None:
        errors |= {
            401: "The token is missing or unknown.",
            403: "The token's role does not allow this.",
            429: "Too many requests. Try again after `Retry-After` seconds.",
        }
    responses |= {str(status): {"description": text, "content": said} for status, text in sorted(errors.items())}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{re.sub(r'[^a-zA-Z0-9]+', '_', endpoint.name).rstrip('_')}",
        "parameters": parameters,
        "responses": responses,
    }
    if endpoint.role is not None:
        operation["security"] = [{"token": []}, {}]
        operation["description"] = f"Needs a token of the role `{endpoint.role}`, if the server has tokens."
    if endpoint.body is not None:
        operation["requestBody"] = {
            "content": {kind: {"schema": _schema(body, by_type)} for kind, body in endpoint.body.items()}
        }
    return operation


def _query_parameter(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key != "description"}
    found: dict[str, Any] = {"name": name, "in": "query", "required": False, "schema": kept}
    described = schema.get("description") or next(
        (each["description"] for each in schema.get("anyOf", ()) if "description" in each), None
    )
    if described is not None:
        found["description"] = described
    if schema.get("type") == "array":
        found |= {"style": "form", "explode": False}
    return found
