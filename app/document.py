"""The OpenAPI document: FastAPI's, where every failure is a Problem and every guard is named."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.guards import Operation, operations
from app.idempotency import KEY, LONGEST_KEY
from app.problems import Problem, documented

Entry = dict[str, Any]
SCHEME = "bearer"


def of(app: FastAPI) -> Entry:
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = {SCHEME: _scheme()}
    _add_problem(components.setdefault("schemas", {}))
    by_name = {operation.name: operation for operation in operations(app)}
    for path in document["paths"].values():
        for entry in path.values():
            _describe(entry, by_name[entry["operationId"]])
    return document


def _scheme() -> Entry:
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token (JWT), or an API key (`voc_...`).",
    }


def _add_problem(schemas: Entry) -> None:
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    shape = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(shape.pop("$defs"))
    schemas["Problem"] = shape


def _describe(entry: Entry, operation: Operation) -> None:
    """What guards add to every route by themselves."""
    statuses = set[int]()
    if operation.permissions:
        entry["security"] = [{SCHEME: sorted(map(str, operation.permissions))}]
        statuses |= {401, 403}
    if operation.counted:
        statuses |= {429}
    if operation.repeatable:
        entry.setdefault("parameters", []).append(_key_parameter())
        statuses |= {409, 413, 422}
    if statuses:
        for status, answer in documented(*statuses).items():
            entry["responses"].setdefault(str(status), answer)


def _key_parameter() -> Entry:
    return {
        "name": KEY,
        "in": "header",
        "required": False,
        "description": "Any text that names this request: sent again with the same key, it is "
        "answered again and not done again, for 24 hours.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_KEY,
            "pattern": "^[!-~]+$",
            "examples": ["5f0c7a52-take-3"],
        },
    }
