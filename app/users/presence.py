"""Presence: nothing is written for somebody whose account has been deleted."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Unauthorized
from app.sealing import digest
from app.tables import Account, DeletionReceipt


def subject(account_id: str) -> str:
    """Who a receipt is about, for who knows the id already."""
    return digest(account_id)


def receipt_id(account_id: str) -> str:
    return f"del_{digest('receipt ' + account_id)[:32]}"


async def assure(session: AsyncSession, user_id: str) -> None:
    """Called where something of theirs is written: it is there before the account is deleted, and
    goes with it, or is not written. A request that began before it ended may last for hours."""
    await session.execute(
        select(Account.id).where(Account.id == user_id).with_for_update(read=True)
    )
    if await session.get(DeletionReceipt, receipt_id(user_id)) is not None:
        raise Unauthorized("This account has been deleted.", code="account_deleted")
