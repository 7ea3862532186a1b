"""Passkeys (WebAuthn): kept for an account, and shown as second factor or instead of a password.

The challenge of a ceremony is itself a one-time token, so an answer can be given once.
"""

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
import webauthn
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict
from webauthn.helpers import exceptions as refusals
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app import clock, ids
from app.errors import Conflict, Unauthorized, Unprocessable
from app.settings import Settings
from app.tables import Account, Factor, Json
from app.users import one_time
from app.users.factors import recovery
from app.users.factors import service as factors
from app.users.factors.service import Kind

CEREMONY_S = 300.0  # from the options to the answer
MOST = 20  # passkeys of one account
ADD, SIGN_IN, SECOND = "passkey_add", "passkey_sign_in", "passkey_second"  # purposes
# What the parsers of a hostile answer may raise.
MALFORMED = (
    refusals.WebAuthnException,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
)

log = structlog.get_logger(__name__)


def domain(settings: Settings) -> str:
    """The relying party: a name, since browsers take no addresses."""
    host = urlsplit(settings.base_url).hostname or "localhost"
    return settings.passkey_domain or ("localhost" if host in ("127.0.0.1", "::1") else host)


def origins(settings: Settings) -> list[str]:
    """Pages that may ask for a passkey: the door's own, and those that may call it."""
    address = urlsplit(settings.base_url)
    port = f":{address.port}" if address.port else ""
    return [
        f"{address.scheme}://{address.netloc}",
        f"{address.scheme}://{domain(settings)}{port}",
        *settings.cors_origins,
    ]


async def options_to_add(session: AsyncSession, settings: Settings, account: Account) -> Json:
    """For navigator.credentials.create()."""
    known = await _of(session, account.id)
    if len(known) >= MOST:
        raise Conflict(f"An account has at most {MOST} passkeys.", code="too_many_passkeys")
    challenge = await one_time.issue(session, ADD, account.id, {}, CEREMONY_S)
    options = webauthn.generate_registration_options(
        rp_id=domain(settings),
        rp_name="Nexus Vocality",
        user_id=account.id.encode(),
        user_name=account.email or account.id,
        challenge=base64url_to_bytes(challenge),
        timeout=int(CEREMONY_S * 1000),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=_descriptors(known),
    )
    return options_to_json_dict(options)


async def add(
    session: AsyncSession, settings: Settings, account: Account, label: str, credential: Json
) -> tuple[Factor, list[str] | None]:
    """The kept passkey, and the recovery codes if there were none."""
    challenge = _challenge_of(credential)
    ceremony = await one_time.take(session, ADD, challenge)
    if ceremony.user_id != account.id:
        raise Unauthorized("This ceremony was begun by somebody else.", code="invalid_token")
    try:
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=domain(settings),
            expected_origin=origins(settings),
        )
    except MALFORMED as error:
        raise Unprocessable(f"This passkey is refused: {_reason(error)}") from error
    row = Factor(
        id=ids.new("fac"),
        user_id=account.id,
        kind=Kind.passkey,
        label=label,
        secret=bytes_to_base64url(found.credential_public_key),
        lookup=bytes_to_base64url(found.credential_id),
        counter=found.sign_count,
        confirmed_at=clock.now(),
    )
    await _insert(session, row)
    factors.tell(session, account, "factor.add", row, "was added")
    return row, await recovery.first(session, account.id)


async def _insert(session: AsyncSession, row: Factor) -> None:
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Conflict("This passkey is kept already.", code="passkey_exists") from error
    await session.refresh(row)


async def options_to_sign_in(session: AsyncSession, settings: Settings) -> Json:
    """For navigator.credentials.get(), by whoever it turns out to be."""
    challenge = await one_time.issue(session, SIGN_IN, None, {}, CEREMONY_S)
    return _options(settings, challenge, (), UserVerificationRequirement.REQUIRED)


async def options_of_second(session: AsyncSession, settings: Settings, user_id: str) -> Json:
    """For navigator.credentials.get(), by whom the first factor has named."""
    challenge = await one_time.issue(session, SECOND, user_id, {}, CEREMONY_S)
    known = await _of(session, user_id)
    return _options(settings, challenge, known, UserVerificationRequirement.PREFERRED)


def _options(
    settings: Settings,
    challenge: str,
    known: Sequence[Factor],
    verification: UserVerificationRequirement,
) -> Json:
    options = webauthn.generate_authentication_options(
        rp_id=domain(settings),
        challenge=base64url_to_bytes(challenge),
        timeout=int(CEREMONY_S * 1000),
        allow_credentials=_descriptors(known),
        user_verification=verification,
    )
    return options_to_json_dict(options)


async def sign_in(session: AsyncSession, settings: Settings, credential: Json) -> str:
    """Whose passkey this is. It stands for two factors, so its holder must have been verified."""
    await one_time.take(session, SIGN_IN, _challenge_of(credential))
    row = await _shown(session, credential)
    _verify(settings, row, credential, verified=True)
    await session.flush()
    return row.user_id


async def check(session: AsyncSession, settings: Settings, user_id: str, credential: Json) -> bool:
    """Whether a passkey of this account answered the challenge that was made for it."""
    try:
        ceremony = await one_time.take(session, SECOND, _challenge_of(credential))
        row = await _shown(session, credential)
        if not ceremony.user_id == row.user_id == user_id:
            return False
        _verify(settings, row, credential, verified=False)
    except Unauthorized:
        return False
    await session.flush()
    return True


def _verify(settings: Settings, row: Factor, credential: Json, *, verified: bool) -> None:
    """Raises Unauthorized; remembers the signature count, which a copy of the key falls behind."""
    try:
        found = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(_challenge_of(credential)),
            expected_rp_id=domain(settings),
            expected_origin=origins(settings),
            credential_public_key=base64url_to_bytes(row.secret),
            credential_current_sign_count=row.counter,
            require_user_verification=verified,
        )
    except MALFORMED as error:
        log.warning("passkey_refused", factor=row.id, why=_reason(error))
        raise _wrong() from error
    handle = credential["response"].get("userHandle")
    if handle and base64url_to_bytes(handle) != row.user_id.encode():
        raise _wrong()
    row.counter, row.used_at = found.new_sign_count, clock.now()


async def _shown(session: AsyncSession, credential: Json) -> Factor:
    """The passkey that is shown, whoever's it is: its id is a secret between it and us."""
    kept = select(Factor).where(Factor.kind == Kind.passkey, Factor.lookup == credential["id"])
    row = await session.scalar(kept.with_for_update())
    if row is None:
        raise _wrong()
    return row


def _challenge_of(credential: Json) -> str:
    """The one-time token that the browser signed; whatever else stands there is checked later."""
    try:
        told = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
        challenge = told["challenge"]
        challenge.encode()
    except (*MALFORMED, RecursionError) as error:
        raise _wrong() from error
    return str(challenge)


def _wrong() -> Unauthorized:
    return Unauthorized("This passkey is refused.", code="invalid_passkey")


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, refusals.WebAuthnException) else "it cannot be read."


async def _of(session: AsyncSession, user_id: str) -> Sequence[Factor]:
    query = factors.visible_to(user_id).where(Factor.kind == Kind.passkey, factors.standing())
    return (await session.scalars(query)).all()


def _descriptors(known: Sequence[Factor]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(row.lookup or "")) for row in known]
