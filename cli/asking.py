"""Asking a platform over HTTP: its JSON, or the sentence of its problem and exit status 1."""

from typing import Any, NoReturn

import httpx2
import typer
from rich.console import Console

from app.settings import settings

TIMEOUT_S = 60

errors = Console(stderr=True)


def ask(server: str | None, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    """`server` None: the platform that the settings name."""
    return _reply(server, method, path, body).json()


def text(server: str | None, path: str) -> str:
    """What is no JSON: a log, a page."""
    return _reply(server, "GET", path, None).text


def address(server: str | None) -> str:
    return (server or f"http://{settings().host}:{settings().port}").rstrip("/")


def _reply(server: str | None, method: str, path: str, body: object) -> httpx2.Response:
    door = address(server)
    try:
        reply = httpx2.request(method, f"{door}{path}", json=body, timeout=TIMEOUT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        fail(f"{door} does not answer: {error}")
    if not reply.is_success:
        fail(_sentence(reply))
    return reply


def fail(sentence: str) -> NoReturn:
    errors.print(sentence, style="red", highlight=False, markup=False)
    raise typer.Exit(1)


def _sentence(reply: httpx2.Response) -> str:
    try:
        problem = reply.json()
        faults = [f"{fault['pointer']}: {fault['detail']}" for fault in problem["errors"]]
        return "\n".join([f"{problem['detail']} ({problem['code']})", *faults])
    except (ValueError, KeyError, TypeError):
        return f"The server answered {reply.status_code}."
