"""Problems: every failure as RFC 9457 problem+json, and never an echo of what was sent."""

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app import errors
from app.analyzer import DeadlineExceeded, Overloaded, Unavailable
from app.errors import AppError, Fault
from models.audio import UnreadableAudio

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger(__name__)


class FaultOut(BaseModel):
    pointer: str = Field(examples=["/options/a4_hz"])
    detail: str = Field(examples=["Input should be greater than or equal to 415"])


class Problem(BaseModel):
    """RFC 9457."""

    type: str = Field(examples=["urn:vocality:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["No such recording."])
    instance: str = Field(examples=["/v1/recordings/rec_0193"])
    code: str = Field(examples=["not_found"])
    errors: list[FaultOut] = []
    request_id: str | None = Field(default=None, examples=["req_01932c9be0d47a4fb5b1c9a0f0f6e1a2"])


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of a route's failures."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        }
        for status in sorted({*statuses, 503})
    }


def render(error: AppError, *, path: str, request_id: str | None) -> Response:
    body = {
        "type": f"urn:vocality:problem:{error.code}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "instance": path,
        "code": error.code,
        "errors": [{"pointer": f.pointer, "detail": f.detail} for f in error.faults],
        "request_id": request_id,
    }
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    # json's own escapes make any text safe, a lone surrogate included.
    return Response(json.dumps(body), error.status, headers, media_type=MEDIA_TYPE)


SENTENCES = {  # instead of the bare phrases of Starlette
    "Not Found": "There is nothing at this address; /docs lists what there is.",
    "Method Not Allowed": "This address does not take this method; /docs lists those it takes.",
}


def install(app: FastAPI) -> None:
    """Answer everything that can be raised with a problem."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for kind in (UnreadableAudio, Overloaded, DeadlineExceeded, Unavailable):
        app.add_exception_handler(kind, _model_error)
    app.add_exception_handler(Exception, _unexpected)


def _answer(request: Request, error: AppError) -> Response:
    request_id = request.scope.get("state", {}).get("request_id")
    return render(error, path=request.scope["path"], request_id=request_id)


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return _answer(request, error)


async def _model_error(request: Request, error: Exception) -> Response:
    return _answer(request, from_model(error))


def from_model(error: Exception) -> AppError:
    """What the analyzer's failures mean to somebody who waits for the answer."""
    if isinstance(error, UnreadableAudio):
        return errors.of_audio(error.code, error.detail)
    if isinstance(error, Overloaded):
        return errors.ServiceUnavailable(
            "All models are busy.", code="overloaded", retry_after_s=error.retry_after_s
        )
    if isinstance(error, DeadlineExceeded):
        return errors.TimedOut("The analysis took too long. Send a shorter take, or queue it.")
    return errors.ServiceUnavailable(
        "No model can be reached now.", code="analyzer_unavailable", retry_after_s=5
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = _of_status(error)
    answer = _answer(request, known)
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods_here(request))
    return answer


def _methods_here(request: Request) -> list[str]:
    """Of every route of this address: the first one that matched knows its own only."""
    here = getattr(request.scope.get("route"), "path", None)
    routes = iter_route_contexts(request.app.routes)
    return sorted({name for route in routes if route.path == here for name in route.methods or ()})


def _of_status(error: HTTPException) -> AppError:
    if isinstance(cause := error.__cause__, AppError):
        return cause  # FastAPI turns what a body's stream raises into a plain 400
    if error.status_code == 413:
        return errors.TooLarge("The body is larger than this route takes.")
    phrase = HTTPStatus(error.status_code).phrase
    detail = SENTENCES.get(str(error.detail), str(error.detail))
    made = AppError(detail, code=phrase.lower().replace(" ", "_").replace("'", ""))
    made.status = error.status_code
    return made


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, invalid(error.errors()))


def invalid(found: Sequence[Mapping[str, Any]]) -> AppError:
    """Pydantic's findings without the input: to echo NaN or half a surrogate would be a 500."""
    if any(item["type"] == "json_invalid" for item in found):
        reason = found[0].get("ctx", {}).get("error", "It cannot be parsed.")
        return errors.BadRequest(f"The body is not valid JSON: {reason}", code="invalid_json")
    faults = tuple(Fault(_pointer(item["loc"]), str(item["msg"])) for item in found)
    return errors.Unprocessable("The request has invalid fields.", faults=faults)


def _pointer(location: Sequence[str | int]) -> str:
    steps = location[1:] if location and location[0] == "body" else location
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.exception("request_failed", exc_info=error)
    answer = _answer(request, AppError("Something went wrong on our side. Quote the request id."))
    state = request.scope.get("state", {})
    if state.get("answers_id"):  # this answer goes out past app.telemetry
        answer.headers["X-Request-Id"] = state["request_id"]
    return answer
