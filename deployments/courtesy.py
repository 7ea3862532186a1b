"""Courtesy: a bulk take does not begin while somebody waits for an answer, if that is soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.analyzer import Lane

ANSWER_S = 0.1  # from the result in our hands to the answer in theirs
LONGEST_S = 1.0  # under steady interactive load bulk work goes on all the same


class Courtesy:
    """Of one process: it decodes, ships and assembles for both lanes."""

    def __init__(self) -> None:
        self._waiting_for_us = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @asynccontextmanager
    async def given(self, lane: Lane) -> AsyncIterator[None]:
        if lane == "bulk":
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_S):
                    await self._quiet.wait()
            yield
            return
        self._waiting_for_us += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._waiting_for_us -= 1
            asyncio.get_running_loop().call_later(ANSWER_S, self._rest)

    def _rest(self) -> None:
        if not self._waiting_for_us:
            self._quiet.set()
