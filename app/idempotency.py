"""Idempotency: a POST that creates, sent twice with one Idempotency-Key, creates once."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import repeats
from app.admission import admit
from app.errors import AppError, DatabaseDown, Unprocessable
from app.fingerprints import Body
from app.guards import OPERATION, Operation
from app.problems import render
from app.repeats import Answer
from app.services import Services

KEY = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
LONGEST_KEY = 255
_KEY = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
RETRY_S = 1.0
PATIENCE_S = 2.0  # an answer waits no longer until it is written down

Change = Callable[[AsyncSession], Awaitable[None]]


@dataclass
class _Captured:
    """An answer that is held back until it is written down."""

    messages: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"]) if self.messages else 500

    def answer(self) -> Answer:
        headers = Headers(raw=self.messages[0]["headers"])
        body = b"".join(message.get("body", b"") for message in self.messages[1:])
        return Answer(self.status, dict(headers), body)


class Idempotency:
    """ASGI middleware. Only successes are kept: what failed has created nothing, and runs again.

    Of a process that dies in between nobody knows how far it came: then the answer says so.
    """

    def __init__(self, app: ASGIApp, services: Services, most_bytes: int) -> None:
        self.app = app
        self._services = services
        self._most_bytes = most_bytes
        self._tasks = set[asyncio.Task[None]]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation: Operation | None = scope.get(OPERATION)
        if operation is None or not operation.repeatable or KEY not in Headers(scope=scope):
            await self.app(scope, receive, send)
            return
        # Goes on to its end when the client leaves: it may be committing right now.
        await asyncio.shield(self._kept(self._answer(operation, scope, receive, send)))

    async def _answer(
        self, operation: Operation, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await self._once(operation, scope, receive, send)
        except AppError as error:
            request_id = scope.get("state", {}).get("request_id")
            problem = render(error, path=scope["path"], request_id=request_id)
            await problem(scope, receive, send)

    async def _once(self, operation: Operation, scope: Scope, receive: Receive, send: Send) -> None:
        user = await admit(HTTPConnection(scope), operation.name)
        key, body = _key(scope), Body(scope, receive)
        async with self._services.transaction() as session:
            earlier = await repeats.claim(session, user.id, key)
        if earlier is None:
            await self._run(user.id, key, scope, body, send)
            return
        repeats.check_finished(earlier)
        same = await body.fingerprint(self._most_bytes)
        answer = repeats.answered(earlier, same, self._services.seal)
        headers = {**answer.headers, REPLAYED: "true"}
        await Response(answer.body, answer.status, headers)(scope, receive, send)

    async def _run(self, user_id: str, key: str, scope: Scope, body: Body, send: Send) -> None:
        captured = _Captured()
        release: Change = partial(repeats.release, user_id=user_id, key=key)
        try:
            await self.app(scope, body.receive, captured.send)
        except Exception:
            await self._settle(release)
            raise
        if 200 <= captured.status < 300:
            await self._settle(await self._finishing(user_id, key, body, captured.answer()))
        else:
            await self._settle(release)
        for message in captured.messages:
            await send(message)

    async def _finishing(self, user_id: str, key: str, body: Body, answer: Answer) -> Change:
        try:
            fingerprint = await body.fingerprint(self._most_bytes)
        except AppError:  # more than the route wanted to read: no repeat will look the same
            fingerprint = ""
        return partial(
            repeats.finish,
            user_id=user_id,
            key=key,
            fingerprint=fingerprint,
            answer=answer,
            seal=self._services.seal,
        )

    async def _settle(self, change: Change) -> None:
        """The outcome is written however long the database is away; the answer does not wait."""
        await asyncio.wait({self._kept(self._until_written(change))}, timeout=PATIENCE_S)

    async def _until_written(self, change: Change) -> None:
        while True:
            try:
                async with self._services.transaction() as session:
                    await change(session)
                return
            except DatabaseDown:
                await asyncio.sleep(RETRY_S)

    def _kept(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Until it is over, whoever waits for it."""
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _key(scope: Scope) -> str:
    written = Headers(scope=scope).getlist(KEY)
    if len(written) != 1 or not _KEY.fullmatch(written[0]):
        raise Unprocessable(
            f"{KEY} takes 1 to {LONGEST_KEY} visible ASCII characters.", code="bad_idempotency_key"
        )
    return written[0]
