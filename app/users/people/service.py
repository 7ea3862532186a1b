"""People, as administrators see them: their roles, and whether the door is open for them."""

from collections.abc import Collection

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, clock, ids, pages, permissions
from app.errors import Conflict, NotFound
from app.security import Role, User
from app.tables import Account
from app.users import accounts, sessions


def known(*, role: Role | None = None, email: str | None = None) -> Select[Account]:
    query = select(Account)
    if role is not None:
        query = query.where(Account.roles.contains([role]))
    if email is not None:
        query = query.where(Account.email_key == accounts.email_key(email))
    return query


async def page(
    session: AsyncSession, query: Select[Account], limit: int, cursor: str | None
) -> tuple[list[Account], str | None]:
    return await pages.named(session, Account, "usr", query, limit, cursor)


async def get(session: AsyncSession, account_id: str) -> Account:
    if not ids.valid("usr", account_id):
        raise NotFound("No such user.")
    return await accounts.find(session, account_id)


async def find(session: AsyncSession, who: str) -> Account:
    """By id, or by e-mail address."""
    if "@" not in who:
        return await get(session, who)
    account = await accounts.by_email(session, who)
    if account is None:
        raise NotFound("No such user.")
    return account


async def get_service(
    session: AsyncSession, account_id: str, *, for_update: bool = False
) -> Account:
    """Only those have keys that others make for them."""
    account = await get(session, account_id)
    if for_update:
        account = await accounts.locked(session, account_id)
    if not account.is_service:
        raise NotFound("No such service account.")
    return account


async def create(
    session: AsyncSession, actor_id: str, email: str, roles: Collection[Role], hashed: str | None
) -> Account:
    """Of somebody whose address is known to be theirs."""
    account = await accounts.create(session, email, verified=True, password_hash=hashed)
    account.roles = sorted(map(str, roles))
    _note(session, actor_id, "create", account, {"roles": account.roles})
    return account


async def create_service(
    session: AsyncSession, user: User, *, name: str, roles: Collection[Role]
) -> Account:
    """An account that nobody signs in to; programs come in with its keys. Raises Forbidden."""
    _check_gift(user, roles)
    account = Account(
        id=ids.new("usr"),
        roles=sorted(map(str, roles)),
        is_service=True,
        owner_id=user.id,
        profile={"display_name": name},
    )
    session.add(account)
    await session.flush()
    await session.refresh(account)
    _note(session, user.id, "create_service", account, {"name": name, "roles": account.roles})
    return account


async def set_roles(
    session: AsyncSession,
    actor_id: str,
    account_id: str,
    roles: Collection[Role],
    *,
    giver: User | None = None,
) -> Account:
    """Whoever loses a role must get a new token before anything else is answered.

    `giver`: who asks at the door. Raises Forbidden where they give more than they may do.
    """
    account = await _changing(session, account_id, stays_admin=Role.admin in roles)
    before, after = account.roles, sorted(map(str, roles))
    if before == after:
        return account
    if giver is not None:
        _check_gift(giver, set(roles) - set(map(Role, before)))
    account.roles = after
    if set(before) - set(after):
        account.epoch += 1
    _note(session, actor_id, "roles", account, {"before": before, "after": after})
    return account


async def disable(session: AsyncSession, actor_id: str, account_id: str) -> Account:
    """Nobody comes in as this account from now on. Safe to repeat."""
    account = await _changing(session, account_id, stays_admin=False)
    if account.disabled_at is None:
        account.disabled_at = await session.scalar(select(clock.now()))
        await sessions.revoke_all(session, account, "disabled")
        _note(session, actor_id, "disable", account, {})
    return account


async def enable(session: AsyncSession, actor_id: str, account_id: str) -> Account:
    """They may sign in again; what was signed in before stays out. Safe to repeat."""
    account = await _changing(session, account_id, stays_admin=True)
    if account.disabled_at is not None:
        account.disabled_at = None
        _note(session, actor_id, "enable", account, {})
    return account


async def set_password(
    session: AsyncSession, actor_id: str, account_id: str, hashed: str
) -> Account:
    """Whoever was signed in as this account signs in anew."""
    account = await accounts.locked(session, account_id)
    account.password_hash = hashed
    await sessions.revoke_all(session, account, "the password was set")
    _note(session, actor_id, "password", account, {})
    return account


async def need_another_admin(session: AsyncSession, account_id: str) -> None:
    """Raises Conflict. Administrators are locked together: two of them cannot take each other's
    role at once. Who asked for deletion counts no more."""
    admins = known(role=Role.admin).where(
        Account.disabled_at.is_(None), Account.delete_after.is_(None), ~Account.is_service
    )
    standing = await session.scalars(admins.order_by(Account.id).with_for_update())
    if {admin.id for admin in standing} == {account_id}:
        raise Conflict("Somebody must stay administrator.", code="last_administrator")


async def _changing(session: AsyncSession, account_id: str, *, stays_admin: bool) -> Account:
    await get(session, account_id)
    if not stays_admin:
        await need_another_admin(session, account_id)
    return await accounts.locked(session, account_id)


def _check_gift(user: User, roles: Collection[Role]) -> None:
    """What is done in person is given with any role: no key has it to give."""
    permissions.require_to_give(user, permissions.of(roles) & permissions.SCOPES)


def _note(
    session: AsyncSession, actor_id: str, what: str, account: Account, details: dict[str, object]
) -> None:
    audit.record(session, actor_id, f"user.{what}", f"users:{account.id}", details)
