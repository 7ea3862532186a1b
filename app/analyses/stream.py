"""The events of one analysis as they happen, for as long as somebody watches."""

import asyncio
from collections.abc import AsyncIterator

from fastapi.sse import ServerSentEvent

from app import events
from app.errors import DatabaseDown
from app.services import Services
from app.tables import FINAL, Event

LONGEST_NAP_S = 15.0  # between two looks when nothing rings; news ring long before
RETRY_S = 1.0


async def follow(
    services: Services, analysis_id: str, last_event_id: str | None
) -> AsyncIterator[ServerSentEvent]:
    """From the event after `last_event_id` to the final one. Lives through a database restart."""
    with services.news.watch(analysis_id) as bell:
        start = await _start(services, analysis_id, last_event_id)
        if start is None:
            yield ServerSentEvent(event="reset", data={})
        last_id = start or 0
        while True:
            bell.clear()
            for event in await _since(services, analysis_id, last_id):
                last_id = event.id
                yield _sent(event)
                if event.type in FINAL:
                    return
            await _nap(bell)


async def _nap(bell: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LONGEST_NAP_S):
            await bell.wait()
    except TimeoutError:
        return


async def _start(services: Services, analysis_id: str, last_event_id: str | None) -> int | None:
    """The id to go on after; None for one that we do not know."""
    if last_event_id is None:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        return None
    async with services.transaction() as session:
        found = await events.known(session, analysis_id, int(last_event_id))
    return int(last_event_id) if found else None


async def _since(services: Services, analysis_id: str, last_id: int) -> list[Event]:
    while True:
        try:
            async with services.transaction() as session:
                return await events.after(session, analysis_id, last_id)
        except DatabaseDown:
            await asyncio.sleep(RETRY_S)


def _sent(event: Event) -> ServerSentEvent:
    data = {**event.payload, "at": event.created_at.isoformat()}
    return ServerSentEvent(event=event.type, id=str(event.id), data=data)
