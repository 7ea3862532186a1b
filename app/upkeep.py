"""Upkeep: what has to go goes: forgotten sound, what is too old, accounts that were given up."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog
from sqlalchemy import delete, func, select, update

from app import clock, tasks
from app.errors import AppError
from app.mail import MAX_ATTEMPTS
from app.recordings import purging
from app.services import Services
from app.tables import (
    Account,
    IdempotencyKey,
    Mail,
    OneTimeToken,
    Recording,
    RefreshToken,
    SignIn,
)
from app.users.me import deletion

LOCK = 0x766F6361 << 8 | 16  # any number, as long as it is ours and nobody else's; and some more
DAY = timedelta(days=1)
SESSIONS_KEPT = timedelta(days=30)  # after their end, to be told of

Sweep = Callable[[Services], Awaitable[object]]

log = structlog.get_logger(__name__)


async def forever(services: Services, stop: asyncio.Event) -> None:
    """Until `stop`. Of several that run at once one sweeps; whoever dies, the next goes on."""
    rounds = [asyncio.create_task(_again(services, s, pause)) for s, pause in SWEEPS.items()]
    try:
        await stop.wait()
    finally:
        await tasks.end(*rounds)


async def _again(services: Services, sweep: Sweep, pause_s: float) -> None:
    while True:
        try:
            await _alone(services, sweep)
        except AppError as error:  # a server is away
            log.info("upkeep_put_off", sweep=sweep.__name__, why=error.code)
        except Exception:  # it must go on: nobody else does it
            log.exception("upkeep_failed", sweep=sweep.__name__)
        await asyncio.sleep(pause_s)


async def _alone(services: Services, sweep: Sweep) -> None:
    """Nothing is done twice in vain; twice would do no harm either."""
    number = LOCK | list(SWEEPS).index(sweep)
    async with services.transaction() as session:
        if await session.scalar(select(func.pg_try_advisory_xact_lock(number))):
            await sweep(services)


async def forget(services: Services) -> None:
    """The sound of what was to be analysed and forgotten."""
    await purging.silence(services, purging.FORGETTING)


async def retire(services: Services) -> None:
    """Recordings older than their owner wants them to become."""
    days = Account.settings["privacy"]["retention_days"].as_integer()
    old = update(Recording).where(
        Recording.owner_id == Account.id,
        Recording.deleted_at.is_(None),
        Recording.created_at < clock.now() - func.make_interval(0, 0, 0, days),
    )
    async with services.transaction() as session:
        await session.execute(old.values(deleted_at=func.now()), execution_options=BY_DATABASE)


async def purge(services: Services) -> None:
    await purging.purge(services)


async def end_accounts(services: Services) -> None:
    await deletion.carry_out(services)


async def expire(services: Services) -> None:
    """What nobody can use any more."""
    async with services.transaction() as session:
        for old in EXPIRED:
            await session.execute(old, execution_options=BY_DATABASE)


BY_DATABASE = {"synchronize_session": False}
EXPIRED = (
    delete(IdempotencyKey).where(IdempotencyKey.created_at < clock.now() - DAY),
    delete(OneTimeToken).where(OneTimeToken.expires_at < clock.now() - DAY),
    delete(RefreshToken).where(RefreshToken.expires_at < clock.now() - DAY),
    delete(SignIn).where(
        func.least(SignIn.expires_at, SignIn.revoked_at) < clock.now() - SESSIONS_KEPT
    ),
    delete(Mail).where(Mail.sent_at < clock.now() - DAY),
    delete(Mail).where(Mail.attempts >= MAX_ATTEMPTS, Mail.available_at < clock.now() - DAY),
)

# Each with the seconds between two of its rounds.
SWEEPS: Mapping[Sweep, float] = {
    forget: 2.0,
    end_accounts: 5.0,
    retire: 300.0,
    purge: 60.0,
    expire: 600.0,
}
