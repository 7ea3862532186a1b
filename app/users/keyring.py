"""Signing keys: made when first needed, rotated, and held in memory for a minute."""

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from joserfc.jwk import OKPKey
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import clock, database
from app.sealing import Seal, Unsealable
from app.tables import Json, SigningKey

ALGORITHM = "EdDSA"
CURVE: Literal["Ed25519"] = "Ed25519"
FRESH_S = 60.0  # for so long may a process sign with a key that was just retired
HURRY_S = 1.0  # an unknown key is looked for no more often
LOCK = 0x6B657973  # any number, as long as it is ours: 'keys'


@dataclass(frozen=True, slots=True)
class Key:
    kid: str
    public: OKPKey
    private: OKPKey | None  # None: retired, or sealed with another secret
    retired_at: datetime | None

    def verifies(self, lives_s: float) -> bool:
        """Whether a token that lives for so long may still be out there."""
        if self.retired_at is None:
            return True
        return datetime.now(UTC) < self.retired_at + timedelta(seconds=lives_s + FRESH_S)


class Keyring:
    """The keys as this process last saw them."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], seal: Seal) -> None:
        self._sessions, self._seal = sessions, seal
        self._keys: dict[str, Key] = {}
        self._read_at = -FRESH_S
        self._reading = asyncio.Lock()

    async def signing(self, session: AsyncSession) -> Key:
        """The key that signs now."""
        await self._read(session, FRESH_S)
        if (found := self._newest()) is None:
            await self._first()
            await self._read(session, 0)
            found = self._newest()
        assert found is not None
        return found

    async def find(self, kid: str) -> Key | None:
        """A key by its name, whether it still signs or not."""
        if kid not in self._keys or time.monotonic() - self._read_at > FRESH_S:
            async with database.outages(), self._sessions() as session:
                await self._read(session, FRESH_S if kid in self._keys else HURRY_S)
        return self._keys.get(kid)

    def _newest(self) -> Key | None:
        """Of those that this process can open."""
        able = [key for key in self._keys.values() if key.private and key.retired_at is None]
        return able[-1] if able else None

    async def _read(self, session: AsyncSession, older_s: float) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < older_s:
                return
            rows = await session.scalars(select(SigningKey).order_by(SigningKey.created_at))
            self._keys = {row.kid: self._key(row) for row in rows}
            self._read_at = time.monotonic()

    def _key(self, row: SigningKey) -> Key:
        return Key(row.kid, OKPKey.import_key(row.public), self._opened(row), row.retired_at)

    def _opened(self, row: SigningKey) -> OKPKey | None:
        try:
            return OKPKey.import_key(json.loads(self._seal.open(row.private)))
        except Unsealable:
            return None

    async def _first(self) -> None:
        """In a transaction of its own: what is signed with it must not outlive it."""
        async with database.outages(), self._sessions.begin() as session:
            await session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": LOCK})
            await self._read(session, 0)
            if self._newest() is None:
                add(session, self._seal)


def add(session: AsyncSession, seal: Seal) -> str:
    key = OKPKey.generate_key(CURVE, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    sealed = seal.close(json.dumps(key.as_dict(private=True)))
    session.add(SigningKey(kid=key.kid, public=key.as_dict(private=False), private=sealed))
    return str(key.kid)


async def rotate(session: AsyncSession, seal: Seal) -> str:
    """A new key signs from now on; what the old ones signed stands until it runs out."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": LOCK})
    old = update(SigningKey).where(SigningKey.retired_at.is_(None))
    await session.execute(old.values(retired_at=clock.now(), private=""))
    kid = add(session, seal)
    await session.flush()
    return kid


async def published(session: AsyncSession) -> Json:
    """A JWK set of all keys there ever were: receipts are to be checked years later."""
    rows = await session.scalars(select(SigningKey.public).order_by(SigningKey.created_at))
    return {"keys": list(rows)}
