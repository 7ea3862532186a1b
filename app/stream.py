"""The events of one topic as they happen, for as long as somebody watches."""

import asyncio
from collections.abc import AsyncIterator, Container

from fastapi.sse import ServerSentEvent

from app import events, tasks
from app.errors import DatabaseDown
from app.services import Services
from app.tables import Event

LONGEST_NAP_S = 15.0  # between two looks when nothing rings; news ring long before
RETRY_S = 1.0


async def follow(
    services: Services,
    topic: str,
    last_event_id: str | None,
    *,
    until: Container[str] = (),
    whole: bool = True,
) -> AsyncIterator[ServerSentEvent]:
    """From the event after `last_event_id` to the first type in `until`. Lives through a database
    restart. `whole`: who names no event gets all that there are, else the newest and what comes.
    """
    with services.news.watch(topic) as bell:
        start = await _start(services, topic, last_event_id, whole)
        if start is None:
            yield ServerSentEvent(event="reset", data={})
        last_id = start or 0
        while True:
            bell.clear()
            for event in await _since(services, topic, last_id):
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


async def _since(services: Services, topic: str, last_id: int) -> list[Event]:
    while True:
        try:
            async with services.transaction() as session:
                return await events.after(session, topic, last_id)
        except DatabaseDown:
            await asyncio.sleep(RETRY_S)


def _sent(event: Event) -> ServerSentEvent:
    data = {**event.payload, "at": event.created_at.isoformat()}
    return ServerSentEvent(event=event.type, id=str(event.id), data=data)
