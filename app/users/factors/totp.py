"""One-time codes of an authenticator app: RFC 6238, each code taken once."""

import hmac
import time

import pyotp
import segno
from pydantic import BaseModel
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from app import clock, ids
from app.errors import Conflict, NotFound, Unprocessable
from app.sealing import Seal, Unsealable
from app.tables import Account, Factor
from app.users.factors import recovery
from app.users.factors import service as factors
from app.users.factors.service import Kind

ISSUER = "Nexus Vocality"
STEP = 30  # seconds
DRIFT = 1  # steps that a clock may be off, either way


class Enrolment(BaseModel):
    """What an authenticator app needs; shown this once."""

    id: str
    secret: str
    uri: str
    qr_svg: str


async def enrol(session: AsyncSession, seal: Seal, account: Account, label: str) -> Enrolment:
    """A secret that counts once a code of it was shown. One that was never shown is forgotten."""
    theirs = factors.visible_to(account.id).where(Factor.kind == Kind.totp)
    if await session.scalar(theirs.where(factors.standing())):
        raise Conflict("An authenticator is set up already: remove it first.", code="totp_exists")
    waiting = delete(Factor).where(Factor.user_id == account.id, Factor.kind == Kind.totp)
    await session.execute(waiting.where(Factor.confirmed_at.is_(None)))
    secret, factor_id = pyotp.random_base32(), ids.new("fac")
    row = Factor(id=factor_id, user_id=account.id, kind=Kind.totp, label=label)
    row.secret = seal.close(secret)
    session.add(row)
    await session.flush()
    uri = pyotp.TOTP(secret).provisioning_uri(name=account.email or account.id, issuer_name=ISSUER)
    return Enrolment(id=factor_id, secret=secret, uri=uri, qr_svg=_picture(uri))


def _picture(uri: str) -> str:
    made: str = segno.make_qr(uri, error="m").svg_inline(scale=4, border=4, light="#fff")
    return made


async def confirm(
    session: AsyncSession, seal: Seal, account: Account, factor_id: str, code: str
) -> list[str] | None:
    """From now on a password alone opens nothing. The recovery codes, if there were none."""
    row = await _waiting(session, account.id, factor_id)
    if not _accept(seal, row, code):
        raise Unprocessable("This is not the code of this moment.", code="wrong_code")
    row.confirmed_at = clock.now()
    await session.flush()
    factors.tell(session, account, "factor.add", row, "was added")
    return await recovery.first(session, account.id)


async def _waiting(session: AsyncSession, user_id: str, factor_id: str) -> Factor:
    theirs = factors.visible_to(user_id).where(Factor.kind == Kind.totp)
    waiting = theirs.where(Factor.id == factor_id, Factor.confirmed_at.is_(None))
    known = ids.valid("fac", factor_id)
    row = await session.scalar(waiting.with_for_update()) if known else None
    if row is None:
        raise NotFound("No authenticator waits to be confirmed under this id.")
    return row


async def check(session: AsyncSession, seal: Seal, user_id: str, code: str) -> bool:
    """Whether the code is good now. No code is good twice, and none older than the last used."""
    theirs = factors.visible_to(user_id).where(Factor.kind == Kind.totp, factors.standing())
    row = await session.scalar(theirs.with_for_update())
    if row is None or not _accept(seal, row, code):
        return False
    row.used_at = clock.now()
    await session.flush()
    return True


def _accept(seal: Seal, row: Factor, code: str) -> bool:
    """Remembers the step: whoever reads a code over a shoulder comes too late."""
    step = _step_of(seal, row.secret, code)
    if step is None or step <= row.counter:
        return False
    row.counter = step
    return True


def _step_of(seal: Seal, sealed: str, code: str) -> int | None:
    try:
        totp = pyotp.TOTP(seal.open(sealed))
    except Unsealable:
        return None
    now = int(time.time()) // STEP
    steps = range(now - DRIFT, now + DRIFT + 1)
    return next((s for s in steps if hmac.compare_digest(totp.generate_otp(s), code)), None)
