"""Services: everything a request or a worker needs, put together once and passed in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from starlette.requests import HTTPConnection

from app import database, embedded, tasks
from app.analyzer import Analyzer, Inspector
from app.events import News, mentioned
from app.ratelimits import Limiter
from app.rollouts.drift import Tally, write_forever
from app.sealing import Seal, secret_of
from app.security import Identity, User
from app.settings import Settings
from app.storage import Storage, open_store
from app.telemetry import Metrics, configure_logging
from app.users.keyring import Keyring
from app.users.outside.published import Published
from app.users.passwords import Passwords
from app.users.standing import Standings
from models.decode import DecodeLimits, Decoder
from models.results import Analysis


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]
    redis: Redis
    storage: Storage
    analyzer: Analyzer
    inspector: Inspector
    news: News
    seal: Seal
    limiter: Limiter
    standings: Standings
    passwords: Passwords
    keys: Keyring
    identity: Identity
    metrics: Metrics = field(default_factory=Metrics)
    tally: Tally = field(default_factory=Tally)
    published: Published = field(default_factory=Published)

    def observe(self, analysis: Analysis) -> None:
        """An analysis was made: how long it took, and what was found."""
        self.metrics.observe(analysis)
        self.tally.add(analysis)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commit at the end, then tell the news. Raises DatabaseDown when that is what happened."""
        async with database.outages(), self.sessions.begin() as session:
            yield session
        await self.news.announce(mentioned(session))

    async def close(self) -> None:
        self.passwords.close()
        await self.redis.aclose()
        await self.engine.dispose()


def build(
    settings: Settings,
    analyzer: Analyzer,
    inspector: Inspector,
    identity: Identity | None = None,
) -> Services:
    """Opens no connection: they are made when first needed, so starting waits for no server.

    `identity` None: nobody comes in without credentials.
    The settings must name a database and a Redis (app.embedded.complete sees to that).
    """
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("DATABASE_URL and REDIS_URL are needed; app.embedded can provide both.")
    engine = database.engine(settings.database_url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    redis = connect_redis(settings.redis_url)
    seal = Seal(secret_of(settings))
    return Services(
        settings=settings,
        engine=engine,
        sessions=sessions,
        redis=redis,
        storage=open_store(settings),
        analyzer=analyzer,
        inspector=inspector,
        news=News(redis, sessions),
        seal=seal,
        limiter=Limiter(redis, settings),
        standings=Standings(sessions, settings.account_cache_s),
        passwords=Passwords(settings.password_memory_kib),
        keys=Keyring(sessions, seal),
        identity=identity or _identify,
    )


async def _identify(connection: HTTPConnection) -> User:
    from app.users.identity import identify  # which asks Services for what it needs

    return await identify(connection)


@asynccontextmanager
async def open_services(settings: Settings, analyzer: Analyzer) -> AsyncIterator[Services]:
    """Services as a replica uses them: servers without an address are our own, news are heard."""
    configure_logging(settings.log_json)
    complete = await asyncio.to_thread(embedded.complete, settings)
    decoder = Decoder(DecodeLimits(max_seconds=settings.max_seconds))
    services = build(complete, analyzer, decoder)
    writing = asyncio.create_task(write_forever(services.tally, services.sessions))
    try:
        async with services.news.listening():
            yield services
    finally:
        await tasks.end(writing)
        await services.close()
        await asyncio.to_thread(decoder.close)


def connect_redis(url: str) -> Redis:
    """Quick to give up: nothing that waits for an answer may wait for Redis."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=1.0,
        socket_timeout=2.0,
        retry=Retry(NoBackoff(), 1),
    )
