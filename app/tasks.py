"""Tasks: waiting for the first of many things, and ending them for certain."""

import asyncio
from typing import Any


async def rung(bell: asyncio.Event, seconds: float, *others: asyncio.Future[Any]) -> None:
    """Until the bell rings, one of the others is over, or so many seconds are."""
    ringing = asyncio.create_task(bell.wait())
    try:
        waits = (ringing, *others)
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ringing.cancel()


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel until they are over. Once is not enough: in Python 3.11 asyncio.wait_for, on which
    asyncpg's timeouts rest, may swallow a cancellation that comes together with its answer."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains that nobody has
