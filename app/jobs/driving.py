"""Driving: a process of its own for each job whose turn it is, and a look at how it ended."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import structlog

from app import tasks
from app.errors import DatabaseDown
from app.jobs import queue
from app.jobs.queue import Claim, Kind
from app.services import Services

POLL_S = 1.0
TAIL = 20  # lines of a driver's own words that its job keeps when it dies
KINDS: tuple[Kind, ...] = get_args(Kind)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a driver is started: this command, and the job's id and token after it."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path  # where it runs


async def drive_forever(services: Services, launch: Launch, stop: asyncio.Event) -> None:
    """One job of each kind at a time, until `stop` is set; then drivers are told to let go."""
    running: dict[Kind, asyncio.Task[None]] = {}
    stopping = asyncio.create_task(stop.wait())
    try:
        with services.news.watch(queue.TOPIC) as bell:
            while not stop.is_set():
                bell.clear()
                running = {kind: task for kind, task in running.items() if not task.done()}
                if claim := await _claim(services, [kind for kind in KINDS if kind not in running]):
                    running[claim.kind] = asyncio.create_task(_drive(services, launch, claim))
                    continue
                await tasks.rung(bell, POLL_S, stopping, *running.values())
    finally:
        await tasks.end(*running.values(), stopping)


async def _claim(services: Services, kinds: Sequence[Kind]) -> Claim | None:
    limits = services.settings
    try:
        async with services.transaction() as session:
            return await queue.claim(
                session, kinds, lease_s=limits.lease_s, max_attempts=limits.max_attempts
            )
    except DatabaseDown:
        return None


async def _drive(services: Services, launch: Launch, claim: Claim) -> None:
    """Until the driver has ended; whoever stops waiting takes it back."""
    words = services.settings.home / "jobs" / f"{claim.job_id}.log"
    words.parent.mkdir(parents=True, exist_ok=True)
    with words.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *launch.command,
            claim.job_id,
            claim.token,
            stdout=output,
            stderr=output,
            cwd=launch.folder,
            env=dict(launch.environment),
            start_new_session=True,
        )
    log.info("driver_started", job=claim.job_id, kind=claim.kind, pid=process.pid)
    try:
        await process.wait()
    finally:
        await asyncio.shield(_end(process, services.settings.drain_s))
        await asyncio.shield(_let_go(services, claim, process.returncode, words))


async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # and what it has started
    await process.wait()


async def _let_go(services: Services, claim: Claim, code: int | None, words: Path) -> None:
    """A driver that died held its lease to the end; nobody need wait for that to run out."""
    log.info("driver_ended", job=claim.job_id, code=code)
    with suppress(DatabaseDown):
        async with services.transaction() as session:
            tail = (f"The driver ended with code {code}.", *_tail(words))
            await queue.note(session, claim.job_id, claim.token, {}, tail)
            await queue.expire(session, claim.job_id, claim.token)


def _tail(words: Path) -> list[str]:
    lines = words.read_text(errors="replace").replace("\0", "").splitlines()
    return [line[:1000] for line in lines[-TAIL:]]
