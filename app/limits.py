"""Limits on bodies: no piece may take for ever, and a refusal is a problem like any other."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTimeout, TooLarge
from app.problems import render


class Bodies:
    """ASGI middleware around routes that have their own `max_body_size`."""

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self.app = app
        self.timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await self.app(scope, _patient(receive, self.timeout_s), _uniform(scope, receive, send))


def _patient(receive: Receive, timeout_s: float) -> Receive:
    whole = False

    async def receiving() -> Message:
        nonlocal whole
        if whole:  # what is waited for now is the client's leaving, which may take for ever
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), timeout_s)
        except TimeoutError as error:
            raise BodyTimeout("The body came too slowly.") from error
        whole = not message.get("more_body", False)
        return message

    return receiving


def _uniform(scope: Scope, receive: Receive, send: Send) -> Send:
    """Starlette's own 413 is plain text, also where we have already answered with a problem."""
    replaced = False

    async def sending(message: Message) -> None:
        nonlocal replaced
        if replaced:
            return
        if message["type"] == "http.response.start" and _plain_413(message):
            replaced = True
            error = TooLarge("The body is larger than this route takes.")
            request_id = scope.get("state", {}).get("request_id")
            await render(error, path=scope["path"], request_id=request_id)(scope, receive, send)
            return
        await send(message)

    return sending


def _plain_413(message: Message) -> bool:
    kind = dict(message.get("headers", ())).get(b"content-type", b"")
    return bool(message["status"] == 413 and kind.startswith(b"text/plain"))
