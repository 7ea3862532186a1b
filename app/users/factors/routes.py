"""HTTP for second factors. Each route: unpack, one service call, return."""

from fastapi import APIRouter, Request

from app.dependencies import ServicesDep, SessionDep, SignedIn
from app.problems import documented
from app.strict_json import StrictRoute
from app.users import accounts, reauthentication
from app.users.factors import passkeys, recovery, second_step, totp
from app.users.factors import service as factors
from app.users.factors.schemas import (
    BetweenStepsIn,
    CodeIn,
    CodesOut,
    Confirmed,
    FactorOut,
    FactorsOut,
    OptionsOut,
    PasskeyIn,
    PasskeyOut,
    PasskeySignInIn,
    SecondStepIn,
    TotpIn,
)
from app.users.factors.totp import Enrolment
from app.users.schemas import TokensOut

router = APIRouter(prefix="/v1/me/factors", tags=["signing in"], route_class=StrictRoute)
steps = APIRouter(prefix="/v1/auth", tags=["signing in"], route_class=StrictRoute)

READS = documented(401, 403)
CHANGES = documented(400, 401, 403, 404, 408, 409, 413, 422, 429)
STEPS = documented(400, 401, 403, 408, 413, 422, 429)


@router.get("", responses=READS)
async def list_factors(user: SignedIn, session: SessionDep) -> FactorsOut:
    """Your authenticator and passkeys. With any of them a password alone opens nothing."""
    rows = await factors.listed(session, user.id)
    items = [FactorOut.model_validate(row) for row in rows]
    return FactorsOut(items=items, recovery_codes_left=await factors.codes_left(session, user.id))


@router.post("/totp", status_code=201, responses=CHANGES)
async def enrol_totp(
    asked: TotpIn, user: SignedIn, services: ServicesDep, session: SessionDep
) -> Enrolment:
    """A secret for an authenticator app, as text, address and picture. Confirm it to turn it on."""
    account = await reauthentication.confirm(services, session, user, asked.password)
    return await totp.enrol(session, services.seal, account, asked.label)


@router.post("/totp/{totp_id}/confirm", responses=CHANGES)
async def confirm_totp(
    totp_id: str, asked: CodeIn, user: SignedIn, services: ServicesDep, session: SessionDep
) -> CodesOut:
    """Turn it on with a code of this moment. Keep the recovery codes: they are not shown again."""
    account = await accounts.locked(session, user.id)
    codes = await totp.confirm(session, services.seal, account, totp_id, asked.code)
    return CodesOut(recovery_codes=codes)


@router.post("/passkeys/options", responses=CHANGES)
async def start_passkey(
    asked: Confirmed, user: SignedIn, services: ServicesDep, session: SessionDep
) -> OptionsOut:
    """What the browser is to be asked to make a passkey."""
    account = await reauthentication.confirm(services, session, user, asked.password)
    options = await passkeys.options_to_add(session, services.settings, account)
    return OptionsOut(public_key=options)


@router.post("/passkeys", status_code=201, responses=CHANGES)
async def add_passkey(
    asked: PasskeyIn, user: SignedIn, services: ServicesDep, session: SessionDep
) -> PasskeyOut:
    """Keep the passkey that the browser made. It is a second factor, and a way in by itself."""
    account = await accounts.locked(session, user.id)
    made = asked.passkey.model_dump(by_alias=True)
    row, codes = await passkeys.add(session, services.settings, account, asked.label, made)
    return PasskeyOut(factor=FactorOut.model_validate(row), recovery_codes=codes)


@router.post("/recovery-codes", responses=CHANGES)
async def renew_recovery_codes(
    asked: Confirmed, user: SignedIn, services: ServicesDep, session: SessionDep
) -> CodesOut:
    """Ten fresh recovery codes; those from before are worth nothing."""
    account = await reauthentication.confirm(services, session, user, asked.password)
    return CodesOut(recovery_codes=await recovery.for_owner(session, account))


@router.post("/{factor_id}/remove", status_code=204, responses=CHANGES)
async def remove_factor(
    factor_id: str, asked: Confirmed, user: SignedIn, services: ServicesDep, session: SessionDep
) -> None:
    """Take a factor away. With the last one the recovery codes go too."""
    account = await reauthentication.confirm(services, session, user, asked.password)
    await factors.remove(session, account, factor_id)


@steps.post("/mfa", responses=STEPS)
async def complete_mfa(
    asked: SecondStepIn, request: Request, services: ServicesDep, session: SessionDep
) -> TokensOut:
    """The second step of a sign-in: a code, a recovery code or a passkey."""
    return await second_step.complete(services, session, asked, request)


@steps.post("/mfa/passkey-options", responses=STEPS)
async def start_mfa_passkey(
    asked: BetweenStepsIn, services: ServicesDep, session: SessionDep
) -> OptionsOut:
    """What the browser is to be asked to show a passkey as second factor."""
    return OptionsOut(public_key=await second_step.options(services, session, asked.mfa_token))


@steps.post("/passkeys/options", responses=STEPS)
async def start_passkey_sign_in(services: ServicesDep, session: SessionDep) -> OptionsOut:
    """What the browser is to be asked to sign in by a passkey alone."""
    options = await passkeys.options_to_sign_in(session, services.settings)
    return OptionsOut(public_key=options)


@steps.post("/passkeys", responses=STEPS)
async def sign_in_by_passkey(
    asked: PasskeySignInIn, request: Request, services: ServicesDep, session: SessionDep
) -> TokensOut:
    """Sign in by a passkey alone: no address, no password."""
    shown = asked.passkey.model_dump(by_alias=True)
    return await second_step.by_passkey(services, session, shown, request)
