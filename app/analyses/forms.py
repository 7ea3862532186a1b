"""The form of a one-shot analysis: fields of text that become checked options."""

import json
from typing import Annotated, Any

from fastapi import Form
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.analyses.schemas import AnalysisIn
from app.errors import BadRequest
from app.strict_json import loads

Text = Annotated[str | None, Form(max_length=4000)]
Number = Annotated[float | None, Form(allow_inf_nan=False)]


def asked(
    families: Annotated[
        str | None, Form(max_length=200, description="Comma-separated.", examples=["pitch,prosody"])
    ] = None,
    options: Annotated[
        str | None,
        Form(max_length=8000, description="A JSON object.", examples=['{"a4_hz": 442}']),
    ] = None,
    a4_hz: Number = None,
    voice: Text = None,
    language: Text = None,
    prompt: Text = None,
    temperature: Number = None,
) -> AnalysisIn:
    """Single fields win over the same ones inside `options`."""
    single = {
        "a4_hz": a4_hz,
        "voice": voice,
        "language": language,
        "prompt": prompt,
        "temperature": temperature,
    }
    chosen = {name: given for name, given in single.items() if given is not None}
    try:
        body: dict[str, Any] = {"options": {**_object(options), **_plain(chosen)}}
        if families is not None:
            body["families"] = [name.strip() for name in families.split(",") if name.strip()]
        return AnalysisIn.model_validate(body)
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"`options` is not valid JSON: {error.msg}", code="invalid_json"
        ) from error
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False)) from error


def _plain(fields: dict[str, str | float]) -> dict[str, Any]:
    """Form text under the same rules as JSON text."""
    checked: dict[str, Any] = loads(json.dumps(fields))
    return checked


def _object(options: str | None) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(parsed := loads(options), dict):
        raise json.JSONDecodeError("An object is expected.", "", 0)
    return parsed
