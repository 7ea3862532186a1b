"""A valid request of every operation, made from the OpenAPI document."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypothesis import find
from hypothesis.strategies import from_regex

from app.main import document
from app.settings import Settings
from app.tables import Json

_FORMATS = {
    "email": "somebody@example.org",
    "date-time": "2026-11-23T09:30:00Z",
    "uri": "https://example.org/",
}


@dataclass(frozen=True)
class Operation:
    """One method of one address."""

    method: str
    path: str
    id: str
    path_names: tuple[str, ...]
    query: Json = field(hash=False)  # schemas of the query's parameters, by name
    needed: tuple[str, ...]  # of these
    bodies: Json = field(hash=False)  # schemas, by media type
    streams: bool  # events, without an end

    def request(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """What an HTTP client is told, with these ids in the path."""
        return {
            "method": self.method,
            "url": self.path.format_map(ids),
            "params": {name: example(self.query[name]) for name in self.needed},
            **self._content(),
        }

    def _content(self) -> dict[str, Any]:
        for kind, schema in self.bodies.items():
            made = deepcopy(example(schema))
            if kind == "application/json":
                return {"json": made}
            if kind == "multipart/form-data":
                return {"files": made}
            return {"data": made}
        return {}


@cache
def whole() -> Json:
    return document(Settings())


@cache
def operations() -> tuple[Operation, ...]:
    return tuple(
        _operation(method, path, found)
        for path, methods in whole()["paths"].items()
        for method, found in methods.items()
    )


def _operation(method: str, path: str, found: Json) -> Operation:
    parameters: dict[str, Json] = {place: {} for place in ("path", "query", "header", "cookie")}
    for parameter in found.get("parameters", ()):
        parameters[parameter["in"]][parameter["name"]] = parameter
    content = found.get("requestBody", {}).get("content", {})
    return Operation(
        method=method.upper(),
        path=path,
        id=found["operationId"],
        path_names=tuple(parameters["path"]),
        query={name: given["schema"] for name, given in parameters["query"].items()},
        needed=tuple(n for n, given in parameters["query"].items() if given.get("required")),
        bodies={kind: _resolved(given["schema"]) for kind, given in content.items()},
        streams="text/event-stream" in str(found["responses"]),
    )


def _resolved(schema: Json) -> Json:
    """Without the one `$ref` that it may be."""
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    found: Json = whole()["components"]["schemas"][name] if name else schema
    return found


def example(schema: Json) -> Any:  # noqa: ANN401
    """The smallest thing that conforms, or the first example that the schema gives."""
    schema = _resolved(schema)
    for name in ("examples", "enum"):
        if schema.get(name):
            return schema[name][0]
    for name in ("const", "default", "example"):
        if name in schema:
            return schema[name]
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return example(schema[name][0])
    return _plain(schema)


def _plain(schema: Json) -> Any:  # noqa: ANN401
    match schema.get("type"):
        case "object":
            parts = schema.get("properties", {})
            return {n: example(parts[n]) for n in schema.get("required", ())}
        case "array":
            return [example(schema["items"])] * schema.get("minItems", 0)
        case "string":
            return _text(schema)
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
    return {}


def _text(schema: Json) -> Any:  # noqa: ANN401
    if "contentMediaType" in schema or schema.get("format") == "binary":
        return ("take.wav", b"RIFF")
    if pattern := schema.get("pattern"):
        return _smallest(pattern, schema.get("minLength", 0))
    return _FORMATS.get(schema.get("format", ""), "x" * max(1, schema.get("minLength", 0)))


@cache
def _smallest(pattern: str, length: int) -> str:
    return find(from_regex(pattern), lambda text: len(text) >= length)
