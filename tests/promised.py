"""Every answer that a test gets is held against the OpenAPI document."""

import json
import re
from functools import cache

import httpx2
from jsonschema_rs import Draft202012Validator

from app.tables import Json
from tests.asking import whole

OURS = 500  # that some tests cause, and no document promises


async def promised(response: httpx2.Response) -> None:
    """A hook of a client: fails the test whose answer is not in the document."""
    operation = _operation(response.request.method, response.request.url.path)
    if operation is None or response.status_code == OURS:
        return
    status, kind = str(response.status_code), response.headers.get("content-type", "")
    place = f"{response.request.method} {response.request.url.path}: {status}"
    assert status in operation["responses"], f"{place} is not documented"
    content = operation["responses"][status].get("content", {})
    await response.aread()
    if not content:
        assert response.content == b"", f"{place} is documented to be empty"
        return
    media = kind.partition(";")[0]
    assert media in content, f"{place} is documented as {', '.join(content)}, not {media}"
    if media.endswith("json"):
        _check(response, content[media].get("schema", {}), place)


def _check(response: httpx2.Response, schema: Json, place: str) -> None:
    error = next(_validator(json.dumps(schema)).iter_errors(response.json()), None)
    assert error is None, f"{place}: {error}"


@cache
def _validator(schema: str) -> Draft202012Validator:
    named = {"components": whole()["components"]}  # that its references lead to
    return Draft202012Validator({**json.loads(schema), **named}, validate_formats=True)


@cache
def _operation(method: str, path: str) -> Json | None:
    for pattern, methods in _patterns():
        if pattern.fullmatch(path) and method.lower() in methods:
            found: Json = methods[method.lower()]
            return found
    return None


@cache
def _patterns() -> list[tuple[re.Pattern[str], Json]]:
    """Those without parameters first, as /v1/jobs/retraining is no /v1/jobs/{job_id}."""
    paths = sorted(whole()["paths"].items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), methods) for path, methods in paths]
