"""The events of one topic as they happen, for as long as somebody watches and may."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from dataclasses import dataclass

from fastapi.sse import ServerSentEvent
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app import events, tasks
from app.errors import Forbidden, NotFound, ServiceUnavailable, Unauthorized
from app.guards import OPERATION
from app.permissions import require
from app.security import User
from app.services import Services
from app.tables import Event

LONGEST_NAP_S = 15.0  # between two looks when nothing rings; news ring long before
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Watch:
    """Somebody who watches a topic. `look` finds what is theirs, or raises; None: it is shown to
    all who have the permission."""

    connection: HTTPConnection
    topic: str
    look: Callable[[AsyncSession, User], Awaitable[object]] | None = None

    async def lasts(self, services: Services) -> bool:
        """Whether they would still be let in. Asked before anything more is told: a stream may
        last for hours, in which somebody is signed out, demoted or coached no more."""
        try:
            user = await services.identity(self.connection)
            for permission in self.connection.scope[OPERATION].permissions:
                require(user, permission)
            if self.look is not None:
                async with services.transaction() as session:
                    await self.look(session, user)
        except (Unauthorized, Forbidden, NotFound):
            return False
        return True


async def follow(
    services: Services,
    watch: Watch,
    last_event_id: str | None,
    *,
    until: Container[str] = (),
    whole: bool = True,
) -> AsyncIterator[ServerSentEvent]:
    """From the event after `last_event_id` to the first type in `until`, or to where the watcher
    may see no more. Lives through a database restart. `whole`: who names no event gets all that
    there are, else the newest and what comes.
    """
    with services.news.watch(watch.topic) as bell:
        start = await _start(services, watch.topic, last_event_id, whole)
        if start is None:
            yield ServerSentEvent(event="reset", data={})
        last_id = start or 0
        while True:
            bell.clear()
            found = await _since(services, watch, last_id)
            if found is None:
                return
            for event in found:
                last_id = event.id
                yield _sent(event)
                if event.type in until:
                    return
            await tasks.rung(bell, LONGEST_NAP_S)


async def _start(
    services: Services, topic: str, last_event_id: str | None, whole: bool
) -> int | None:
    """The id to go on after; None for one that we do not know."""
    if last_event_id is None and whole:
        return 0
    if last_event_id is None:
        async with services.transaction() as session:
            return await events.newest(session, topic) - 1
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        return None
    async with services.transaction() as session:
        found = await events.known(session, topic, int(last_event_id))
    return int(last_event_id) if found else None


async def _since(services: Services, watch: Watch, last_id: int) -> list[Event] | None:
    """None: there are some, and they are not for this watcher any more."""
    while True:
        try:
            async with services.transaction() as session:
                found = await events.after(session, watch.topic, last_id)
            return found if not found or await watch.lasts(services) else None
        except ServiceUnavailable:
            await asyncio.sleep(RETRY_S)


def _sent(event: Event) -> ServerSentEvent:
    data = {**event.payload, "at": event.created_at.isoformat()}
    return ServerSentEvent(event=event.type, id=str(event.id), data=data)
