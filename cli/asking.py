"""Asking a platform over HTTP: its JSON, or the sentence of its problem and exit status 1."""

import os
from ipaddress import ip_address
from typing import Any, NoReturn

import httpx2
import typer
from rich.console import Console

from app.settings import settings

TIMEOUT_S = 60
KEY = "VOCALITY_API_KEY"  # names the key that is shown to a platform

errors = Console(stderr=True)


def ask(server: str | None, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    """`server` None: the platform that the settings name."""
    return _reply(server, method, path, body).json()


def text(server: str | None, path: str) -> str:
    """What is no JSON: a log, a page."""
    return _reply(server, "GET", path, None).text


def address(server: str | None) -> str:
    return (server or f"http://{settings().host}:{settings().port}").rstrip("/")


def client(server: str | None, timeout_s: float = TIMEOUT_S) -> httpx2.Client:
    """Raises httpx2.InvalidURL."""
    door = address(server)
    headers = bearer(found) if (found := _key(door)) else {}
    return httpx2.Client(base_url=door, headers=headers, timeout=timeout_s)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _key(door: str) -> str | None:
    """The one that was given; else the administrator's of this home, which stays at home."""
    if given := os.environ.get(KEY):
        return given
    file = settings().admin_key
    ours = door == address(None) or _is_this_machine(httpx2.URL(door).host)
    return file.read_text().strip() if ours and file.exists() else None


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _reply(server: str | None, method: str, path: str, body: object) -> httpx2.Response:
    door = address(server)
    try:
        with client(server) as asking:
            reply = asking.request(method, path, json=body)
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
