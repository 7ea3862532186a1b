"""Turns: first attempts side by side; what has failed before runs alone, so it can harm nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A take that ends its replica ends its neighbours' work too, and all of them come again.

    Were they to run together again, they would fail together again, until the innocent are given
    up as well. One at a time, only the guilty one fails.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._running = 0
        self._suspects = 0  # waiting for their turn, or having it

    @asynccontextmanager
    async def taken(self, *, suspect: bool) -> AsyncIterator[None]:
        async with self._changed:
            self._suspects += suspect
            try:
                await self._changed.wait_for(lambda: self._may_start(suspect))
            except BaseException:
                self._suspects -= suspect
                self._changed.notify_all()
                raise
            self._running += 1
        try:
            yield
        finally:
            async with self._changed:
                self._running -= 1
                self._suspects -= suspect
                self._changed.notify_all()

    def _may_start(self, suspect: bool) -> bool:
        return self._running == 0 if suspect else self._suspects == 0
