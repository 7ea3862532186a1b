"""Deletion: an account and all of it, at once or after the time in which it can be taken back."""

import time
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, clock, ids, mail
from app.errors import Conflict, NotFound
from app.recordings import purging
from app.sealing import digest
from app.services import Services
from app.tables import Account, DeletionReceipt, Recording
from app.users import accounts, letters, presence, sessions, tokens
from app.users.me.held import HELD, Held
from app.users.people import service as people

RECEIPT = "deletion-receipt+jwt"


async def ask(
    services: Services, session: AsyncSession, account: Account, *, at_once: bool
) -> datetime:
    """When it is deleted. Until then it can be taken back; `at_once`: not any more. Safe to
    repeat: asked again it is not put off. Raises Conflict for the last administrator."""
    if account.delete_after is None or at_once:
        await people.need_another_admin(session, account.id)
        grace_s = 0.0 if at_once else services.settings.deletion_grace_s
        account.delete_after = await session.scalar(select(clock.after(grace_s)))
        note = {"at_once": at_once}
        audit.record(session, account.id, "account.delete", f"users:{account.id}", note)
    assert account.delete_after is not None
    if at_once:
        await _close(session, account)
    elif address := accounts.reachable(account):
        mail.write(session, address, *letters.deletion_asked(account.delete_after))
    return account.delete_after


def receipt_id(account: Account) -> str:
    """Known from the start, to who knows the account; another one of the same id has another."""
    born = account.created_at.isoformat()
    return f"del_{digest(f'{account.id} since {born}')[:32]}"


async def take_back(session: AsyncSession, account: Account) -> None:
    """Safe to repeat. Raises Conflict when it is too late."""
    if account.delete_after is None:
        return
    if account.disabled_at is not None:
        raise Conflict("This account is being deleted.", code="too_late")
    account.delete_after = None
    audit.record(session, account.id, "account.keep", f"users:{account.id}", {})


async def carry_out(services: Services) -> int:
    """Delete the accounts whose time has come. How many. Safe to repeat."""
    due = select(Account).where(Account.delete_after <= clock.now())
    async with services.transaction() as session:
        open_ones = due.where(Account.disabled_at.is_(None)).with_for_update()
        for account in await session.scalars(open_ones):
            await _close(session, account)
    # Who was known when it was closed is known for a few seconds more.
    unknown = Account.disabled_at < clock.after(-2 * services.settings.account_cache_s)
    async with services.transaction() as session:
        closed = list(await session.scalars(due.where(unknown)))
    return sum([await _erase(services, account) for account in closed])


async def _close(session: AsyncSession, account: Account) -> None:
    """Nobody comes in any more."""
    account.disabled_at = await session.scalar(select(clock.now()))
    await sessions.revoke_all(session, account, "the account is deleted")
    await _orphan(session, account)


async def _orphan(session: AsyncSession, account: Account) -> None:
    """Service accounts for which nobody answers any more rest, until an administrator acts."""
    theirs = update(Account).where(Account.owner_id == account.id)
    at = func.coalesce(Account.disabled_at, clock.now())
    await session.execute(theirs.values(disabled_at=at, epoch=Account.epoch + 1, owner_id=None))


async def _erase(services: Services, account: Account) -> bool:
    """First the sound, then in one transaction all rows and the receipt: whoever dies between
    leaves an account that the next one deletes. Whether it is gone now."""
    await purging.silence(services, Recording.owner_id == account.id)
    async with services.transaction() as session:
        same = await session.get(Account, account.id, with_for_update=True)
        if same is None or await _sounding(session, same):
            return False
        await _orphan(session, same)  # an administrator may have closed it, or made more since
        counts = {held.table.__tablename__: await _delete(session, held, same) for held in HELD}
        receipt = await _receipt(services, session, same, counts)
        if address := accounts.reachable(same):
            mail.write(session, address, *letters.deleted(receipt.id, receipt.signature))
    return True


async def _sounding(session: AsyncSession, account: Account) -> bool:
    """Whether a request that had begun before brought one more recording meanwhile."""
    more = select(Recording.id).where(
        Recording.owner_id == account.id, Recording.sound_deleted_at.is_(None)
    )
    return await session.scalar(more.limit(1)) is not None


async def _delete(session: AsyncSession, held: Held, account: Account) -> int:
    doomed = delete(held.table).where((held.ends or held.whose)(account))
    return await purging.deleted(session, doomed)


async def _receipt(
    services: Services, session: AsyncSession, account: Account, counts: Mapping[str, int]
) -> DeletionReceipt:
    claims = {
        "iss": services.settings.base_url,
        "jti": receipt_id(account),
        "sub": presence.subject(account.id),
        "iat": int(time.time()),
        "counts": {table: count for table, count in counts.items() if count},
    }
    receipt = DeletionReceipt(
        id=claims["jti"],
        subject=claims["sub"],
        counts=claims["counts"],
        signature=await tokens.sign(services, session, claims, RECEIPT),
    )
    session.add(receipt)
    return receipt


async def receipt(session: AsyncSession, named: str) -> DeletionReceipt:
    """Raises NotFound, also while the account is still being deleted."""
    found = None
    if ids.valid("del", named):
        found = await session.get(DeletionReceipt, named)
    if found is None:
        raise NotFound("No such receipt, or not yet.")
    return found
