"""What a job holds on to its row by: the lease, its progress and log, and the word to stop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Literal, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database, events, services, tasks
from app.errors import DatabaseDown
from app.jobs import queue
from app.settings import Settings
from app.tables import JobState, Json

FLUSH_S = 0.5  # between two writes of progress and log
LONGEST_LINE = 4000  # characters
T = TypeVar("T")


class Stopped(Exception):
    """The job stopped because it was told to: `hand.why` says for what."""


class Failed(Exception):
    """The job cannot be done, and another attempt would meet the same."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Hand:
    """Use it as a context manager: while it is open, a thread of its own renews the lease.

    Every method may be called from any thread, and `transaction` in any event loop.
    """

    def __init__(self, settings: Settings, job_id: str, token: str, owner_id: str) -> None:
        self.settings = settings
        self.job_id = job_id
        self.owner_id = owner_id
        self.stop = threading.Event()
        self.why: Literal["cancel", "pause"] | None = None  # None with `stop`: the lease is lost
        self._token = token
        self._engine = database.unpooled(str(settings.database_url))
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._lock = threading.Lock()
        self._progress: Json = {}
        self._lines: list[str] = []
        self._writing = asyncio.Lock()
        self._closing = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="hand", daemon=True)

    def progress(self, step: Json) -> None:
        """Merged into what is known of the job's progress, soon."""
        with self._lock:
            self._progress |= step

    def log(self, line: str) -> None:
        with self._lock:
            self._lines.append(line.replace("\0", "")[:LONGEST_LINE])

    def check(self) -> None:
        """Raises Stopped once the job is to stop."""
        if self.stop.is_set():
            raise Stopped

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """As app.services.Services.transaction."""
        async with database.outages(), self._sessions.begin() as session:
            yield session
        if told := events.mentioned(session):
            asyncio.run_coroutine_threadsafe(self._news.announce(told), self._loop)

    async def secure(self, session: AsyncSession) -> None:
        """Only this driver writes until the transaction ends. Raises Stopped if it may not."""
        if not await queue.secured(session, self.job_id, self._token):
            self.stop.set()
            raise Stopped

    def finish(self, result: Json) -> bool:
        return self._settle(lambda session: queue.finish(session, self.job_id, self._token, result))

    def fail(self, code: str, detail: str) -> bool:
        shown = detail.replace("\0", "")
        return self._settle(
            lambda session: queue.fail(session, self.job_id, self._token, code, shown)
        )

    def release(self, *, counts: bool) -> None:
        """Another driver may go on; `counts`: this attempt came to nothing by itself."""
        self._settle(
            lambda session: queue.release(session, self.job_id, self._token, counts=counts)
        )

    def _settle(self, outcome: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """The last word, after all that was noted; it waits for a database that is away."""
        return asyncio.run_coroutine_threadsafe(self._settled(outcome), self._loop).result()

    async def _settled(self, outcome: Callable[[AsyncSession], Awaitable[T]]) -> T:
        while True:
            try:
                await self._flush()
                async with self.transaction() as session:
                    return await outcome(session)
            except DatabaseDown:
                await asyncio.sleep(FLUSH_S)

    def __enter__(self) -> Self:
        redis = services.connect_redis(str(self.settings.redis_url))
        self._news = events.News(redis, self._sessions)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._loop.call_soon_threadsafe(lambda: None)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        """Renew, write and listen until the hand is closed."""
        lease_s = self.settings.lease_s
        next_beat = 0.0
        listening = asyncio.create_task(self._listen())
        with self._news.watch(self.job_id) as bell:
            while not self._closing.is_set():
                now = self._loop.time()
                if bell.is_set() or now >= next_beat:
                    bell.clear()
                    next_beat = now + lease_s / 3
                    await self._beat()
                with suppress(DatabaseDown):
                    await self._flush()
                await tasks.rung(bell, min(FLUSH_S, lease_s / 6))
        await tasks.end(listening)

    async def _listen(self) -> None:
        async with self._news.listening():
            await asyncio.Event().wait()

    async def _beat(self) -> None:
        try:
            async with self.transaction() as session:
                lease_s = self.settings.lease_s
                state = await queue.beat(session, self.job_id, self._token, lease_s)
        except DatabaseDown:  # while nobody can write, nobody can take it over either
            return
        if state == JobState.running or self._closing.is_set() or self.stop.is_set():
            return
        self.why = _REASONS.get(state) if state else None
        self.stop.set()

    async def _flush(self) -> None:
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        with self._lock:
            progress, lines = self._progress, self._lines
            self._progress, self._lines = {}, []
        if not (progress or lines):
            return
        try:
            async with self.transaction() as session:
                await queue.note(session, self.job_id, self._token, progress, lines)
        except DatabaseDown:
            with self._lock:
                self._progress, self._lines = progress | self._progress, lines + self._lines
            raise


_REASONS: dict[JobState, Literal["cancel", "pause"]] = {
    JobState.cancelled: "cancel",
    JobState.paused: "pause",
    JobState.queued: "pause",  # and resumed already: let go, and another driver goes on
}
