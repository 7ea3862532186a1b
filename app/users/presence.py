"""Presence: nothing is written for somebody whose account has been deleted."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Unauthorized
from app.sealing import digest
from app.tables import Account, DeletionReceipt


def subject(account_id: str) -> str:
    """Who a receipt is about, for who knows the id already."""
    return digest(account_id)


async def assure(session: AsyncSession, user_id: str) -> None:
    """Called where something of theirs is written: it is there before the account is deleted, and
    goes with it, or is not written. A request that began before it ended may last for hours."""
    account = select(Account.id).where(Account.id == user_id).with_for_update(read=True)
    if await session.scalar(account) is not None:
        return
    receipt = select(DeletionReceipt.id).where(DeletionReceipt.subject == subject(user_id))
    if await session.scalar(receipt.limit(1)) is not None:
        raise Unauthorized("This account has been deleted.", code="account_deleted")
