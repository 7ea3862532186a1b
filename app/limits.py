"""Limits on bodies: none may dawdle, and a refusal is a problem like any other."""

import asyncio
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTimeout, TooLarge
from app.problems import render

SLOWEST = 8 * 1024  # bytes a second: a telephone's uplink at its worst
MOMENT = 0.05  # seconds: what is there already is always taken


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
    """No silence longer than `timeout_s`, and on the whole no less than SLOWEST."""
    whole, received, waited = False, 0, 0.0

    async def receiving() -> Message:
        nonlocal whole, received, waited
        if whole:  # what is waited for now is the client's leaving, which may take for ever
            return await receive()
        credit = timeout_s + received / SLOWEST - waited  # our own slowness is not the client's
        asked = monotonic()
        try:
            message = await asyncio.wait_for(receive(), min(timeout_s, max(credit, MOMENT)))
        except TimeoutError as error:
            raise BodyTimeout("The body came too slowly.") from error
        whole = not message.get("more_body", False)
        received += len(message.get("body", b""))
        waited += monotonic() - asked
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
