"""Events: written with what they tell of, announced over Redis, never dependent on it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import monotonic

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database, tasks
from app.errors import DatabaseDown
from app.tables import Event, Json

CHANNEL = "vocality:news"
STREAM = "vocality:events"
STREAM_LENGTH = 100_000  # events kept for consumer groups; the table keeps all
QUEUE = "queue"  # the topic that wakes workers
POLL_S = 1.0
RETRY_S = 1.0

log = structlog.get_logger(__name__)


def append(session: AsyncSession, topic: str, kind: str, payload: Json) -> None:
    """Tell, in this transaction, what it does. Whoever holds the topic's row lock may call this:
    that lock is what makes a topic's event ids grow in the order of their commits."""
    session.add(Event(topic=topic, type=kind, payload=payload))
    mention(session, topic)


def mention(session: AsyncSession, topic: str) -> None:
    """Wake the topic's watchers once this transaction is committed."""
    session.info.setdefault("topics", set()).add(topic)


def mentioned(session: AsyncSession) -> set[str]:
    topics: set[str] = session.info.get("topics", set())
    return topics


async def after(session: AsyncSession, topic: str, last_id: int) -> list[Event]:
    query = select(Event).where(Event.topic == topic, Event.id > last_id).order_by(Event.id)
    return list(await session.scalars(query))


async def known(session: AsyncSession, topic: str, event_id: int) -> bool:
    query = select(Event.id).where(Event.topic == topic, Event.id == event_id)
    return await session.scalar(query) is not None


async def newest(session: AsyncSession, topic: str) -> int:
    """Its id; 0 before the first."""
    return await session.scalar(select(func.max(Event.id)).where(Event.topic == topic)) or 0


class News:
    """Wakes whoever watches a topic: by Redis at once, without it by a look at the table a second.

    One connection and one query a second serve all watchers of the process.
    """

    def __init__(self, redis: Redis, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._redis = redis
        self._sessions = sessions
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._silent_until = 0.0

    @contextmanager
    def watch(self, topic: str) -> Iterator[asyncio.Event]:
        """An asyncio event that is set whenever something may be new."""
        bell = asyncio.Event()
        self._watchers[topic].add(bell)
        try:
            yield bell
        finally:
            self._watchers[topic].discard(bell)
            if not self._watchers[topic]:
                del self._watchers[topic]

    async def announce(self, topics: Iterable[str]) -> None:
        """Best effort: a Redis that is down costs one attempt a second, and nobody's request."""
        if not (told := list(topics)):
            return
        for topic in told:
            self._ring(topic)
        if monotonic() < self._silent_until:
            return
        try:
            await self._redis.publish(CHANNEL, "\n".join(told))
        except (RedisError, OSError):
            self._silent_until = monotonic() + RETRY_S

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        ears = asyncio.create_task(self._listen()), asyncio.create_task(self._poll())
        try:
            yield
        finally:
            await tasks.end(*ears)

    async def _listen(self) -> None:
        while True:
            with suppress(RedisError, OSError):
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    while True:
                        message = await pubsub.get_message(
                            ignore_subscribe_messages=True, timeout=5.0
                        )
                        for topic in str(message["data"]).split("\n") if message else ():
                            self._ring(topic)
            await asyncio.sleep(RETRY_S)

    async def _poll(self) -> None:
        seen: dict[str, int] = {}
        while True:
            await asyncio.sleep(POLL_S)
            try:
                latest = await self._latest()
            except DatabaseDown:
                continue
            for topic, last_id in latest.items():
                if seen.get(topic) != last_id:
                    self._ring(topic)
            seen = latest

    async def _latest(self) -> dict[str, int]:
        if not (topics := [topic for topic in self._watchers if topic != QUEUE]):
            return {}
        query = (
            select(Event.topic, func.max(Event.id))
            .where(Event.topic.in_(topics))
            .group_by(Event.topic)
        )
        async with database.outages(), self._sessions() as session:
            return {topic: last_id for topic, last_id in await session.execute(query)}

    def _ring(self, topic: str) -> None:
        for bell in self._watchers.get(topic, ()):
            bell.set()


async def relay(redis: Redis, sessions: async_sessionmaker[AsyncSession], limit: int = 200) -> int:
    """Move unpublished events into the Redis stream: each at least once, in order. How many."""
    query = (
        select(Event)
        .where(Event.published_at.is_(None))
        .order_by(Event.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    async with database.outages(), sessions.begin() as session:
        waiting = list(await session.scalars(query))
        for event in waiting:
            await redis.xadd(
                STREAM,
                {"id": str(event.id), "topic": event.topic, "type": event.type},
                maxlen=STREAM_LENGTH,
                approximate=True,
            )
            event.published_at = func.now()
    return len(waiting)
