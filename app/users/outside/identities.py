"""Outside identities: by which names at others' doors an account is known."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, mail
from app.errors import Conflict, NotFound
from app.sealing import digest
from app.tables import Account, Factor, OutsideIdentity
from app.users import accounts, letters
from app.users.factors import service as factors
from app.users.factors.service import Kind


@dataclass(frozen=True, slots=True)
class Vouched:
    """What somebody outside says of who stands there."""

    issuer: str
    subject: str
    email: str | None = None
    verified: bool = False  # that the address is theirs


async def account_of(session: AsyncSession, vouched: Vouched, *, links_email: bool) -> Account:
    """The account of this name outside; a fresh one where there is none yet.

    An address that its provider did not verify proves nothing: it is kept, and opens nothing.
    """
    await _alone(session, vouched)
    kept = await session.get(OutsideIdentity, (vouched.issuer, vouched.subject))
    if kept is not None:
        return await accounts.find(session, kept.user_id)
    known = await _known_by_email(session, vouched, links_email)
    account = known or await accounts.create(session, vouched.email, vouched.verified)
    _add(session, account, vouched)
    if known is not None:
        _tell(session, account, vouched.issuer, "opens your account now")
    await session.flush()
    return account


async def _known_by_email(
    session: AsyncSession, vouched: Vouched, links_email: bool
) -> Account | None:
    if not vouched.verified or vouched.email is None:
        return None
    account = await accounts.by_email(session, vouched.email)
    if account is not None and not links_email:
        raise Conflict(
            "There is an account with this e-mail address. Sign in to it, then link this one.",
            code="account_exists",
        )
    return account


async def link(session: AsyncSession, account: Account, vouched: Vouched) -> OutsideIdentity:
    """From now on this name outside opens this account. Safe to repeat."""
    await _alone(session, vouched)
    kept = await session.get(OutsideIdentity, (vouched.issuer, vouched.subject))
    if kept is None:
        kept = _add(session, account, vouched)
        _tell(session, account, vouched.issuer, "opens your account now")
        await session.flush()
        await session.refresh(kept)
    if kept.user_id != account.id:
        raise Conflict("This identity opens another account already.", code="identity_taken")
    return kept


def _add(session: AsyncSession, account: Account, vouched: Vouched) -> OutsideIdentity:
    row = OutsideIdentity(
        issuer=vouched.issuer, subject=vouched.subject, user_id=account.id, email=vouched.email
    )
    session.add(row)
    audit.record(
        session, account.id, "identity.link", f"users:{account.id}", {"issuer": vouched.issuer}
    )
    return row


def _tell(session: AsyncSession, account: Account, issuer: str, what: str) -> None:
    """The account's owner: this may be somebody else's doing."""
    if (address := accounts.reachable(account)) is not None:
        mail.write(session, address, *letters.identity_changed(issuer, what))


async def _alone(session: AsyncSession, vouched: Vouched) -> None:
    """Of two who come with the same name at the same time one waits, and finds what is made."""
    name = func.hashtextextended(f"{vouched.issuer}\n{vouched.subject}", 0)
    await session.execute(select(func.pg_advisory_xact_lock(name)))


def id_of(row: OutsideIdentity) -> str:
    return f"idn_{digest(f'{row.issuer} {row.subject}')[:32]}"


async def listed(session: AsyncSession, user_id: str) -> Sequence[OutsideIdentity]:
    theirs = select(OutsideIdentity).where(OutsideIdentity.user_id == user_id)
    return (await session.scalars(theirs.order_by(OutsideIdentity.created_at))).all()


async def unlink(session: AsyncSession, account: Account, identity_id: str) -> None:
    rows = await listed(session, account.id)
    row = next((row for row in rows if id_of(row) == identity_id), None)
    if row is None:
        raise NotFound("No such identity.")
    another = len(rows) > 1 or account.password_hash is not None
    if not another and not await _has_passkey(session, account):
        raise Conflict("This is your only way in: set a password first.", code="last_way_in")
    await session.delete(row)
    audit.record(
        session, account.id, "identity.unlink", f"users:{account.id}", {"issuer": row.issuer}
    )
    _tell(session, account, row.issuer, "does not open your account any more")


async def _has_passkey(session: AsyncSession, account: Account) -> bool:
    theirs = factors.visible_to(account.id).where(Factor.kind == Kind.passkey, factors.standing())
    return await session.scalar(theirs.limit(1)) is not None
