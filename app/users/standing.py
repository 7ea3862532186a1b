"""Standing: what an account is right now, remembered for a few seconds."""

from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Select, and_, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import clock, database
from app.security import Role
from app.tables import Account, SignIn

MOST = 10_000  # accounts remembered


@dataclass(frozen=True, slots=True)
class Standing:
    roles: frozenset[Role]
    epoch: int  # access tokens of another one are dead


class Standings:
    """Asks the database once in `lives_s` for each account and device: whoever is disabled,
    demoted or signed out reads for no longer what they could. `fresh`: what it remembers will not
    do, since what is made now, a key say, would outlast it."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], lives_s: float) -> None:
        self._sessions = sessions
        self._lives_s = lives_s
        self._known: dict[tuple[str, str | None], tuple[float, Standing | None]] = {}

    async def of(
        self, account_id: str, session_id: str | None = None, *, fresh: bool = False
    ) -> Standing | None:
        """None: no such account, or it is disabled, or that device is signed out."""
        who, asked = (account_id, session_id), monotonic()
        until, standing = self._known.get(who, (0.0, None))
        if asked < until and not fresh:
            return standing
        standing = await self._asked(account_id, session_id)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[who] = (asked + self._lives_s, standing)
        return standing

    async def _asked(self, account_id: str, session_id: str | None) -> Standing | None:
        async with database.outages(), self._sessions() as session:
            found = (await session.execute(_query(account_id, session_id))).first()
        return found and Standing(frozenset(map(Role, found.roles)), found.epoch)


def _query(account_id: str, session_id: str | None) -> Select[list[str], int]:
    enabled = and_(Account.id == account_id, Account.disabled_at.is_(None))
    query = select(Account.roles, Account.epoch).where(enabled)
    if session_id is None:
        return query
    signed_in = and_(
        SignIn.id == session_id,
        SignIn.user_id == Account.id,
        SignIn.revoked_at.is_(None),
        SignIn.expires_at > clock.now(),
    )
    return query.where(select(SignIn.id).where(signed_in).exists())
