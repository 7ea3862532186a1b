"""Strict JSON: bodies that two parsers could read differently are refused."""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

MAX_DEPTH = 64


class StrictRoute(APIRoute):
    """A route whose JSON body goes through `loads`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:  # noqa: ANN401
        return loads(await self.body())


def loads(encoded: bytes | str) -> Any:  # noqa: ANN401
    """Parse, or raise json.JSONDecodeError.

    Refused: duplicate keys, NaN, infinities (1e999 too), NUL, half surrogates, a BOM, anything
    but UTF-8, integers past 64 bits, more than MAX_DEPTH levels.
    """
    try:
        text = encoded.decode("utf-8") if isinstance(encoded, bytes) else encoded
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_small,
        )
        _check_text(value)
    except json.JSONDecodeError:
        raise
    except (UnicodeError, ValueError) as error:
        raise json.JSONDecodeError(_reason(error), "", 0) from error
    except RecursionError as error:
        raise json.JSONDecodeError("Nested too deeply.", "", 0) from error
    return value


def _reason(error: Exception) -> str:
    return "Text that is not UTF-8." if isinstance(error, UnicodeError) else str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("The same key twice.")
    return found


def _no_constant(name: str) -> float:
    raise ValueError("NaN and Infinity are not JSON.")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("A number out of range.")
    return value


def _small(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("A number out of range.")
    return int(digits)


def _check_text(value: Any, depth: int = 0) -> None:  # noqa: ANN401
    if depth > MAX_DEPTH:
        raise ValueError("Nested too deeply.")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_text(item, depth + 1)
    elif isinstance(value, str):
        value.encode()  # raises on half a surrogate
        if "\0" in value:
            raise ValueError("A NUL character.")
