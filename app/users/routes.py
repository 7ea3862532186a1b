"""HTTP for signing in and out. Each route: unpack, one service call, return."""

from fastapi import APIRouter, Request, Response

from app.dependencies import ServicesDep, SessionDep, SignedIn
from app.problems import documented
from app.strict_json import StrictRoute
from app.users import changing, keyring, registration, sessions, signing_in
from app.users.schemas import (
    Accepted,
    EmailChangeIn,
    EmailIn,
    JwksOut,
    MfaNeeded,
    PasswordChangeIn,
    RefreshIn,
    RegisterIn,
    ResetIn,
    SessionOut,
    SessionsOut,
    SignInIn,
    TokenIn,
    TokensOut,
)

auth = APIRouter(prefix="/v1/auth", tags=["signing in"], route_class=StrictRoute)
mine = APIRouter(prefix="/v1/me", tags=["my account"], route_class=StrictRoute)
known = APIRouter(prefix="/.well-known", tags=["signing in"])

OPEN = documented(400, 401, 403, 408, 409, 413, 422, 429)
MINE = documented(400, 401, 403, 404, 408, 409, 413, 422, 429)


@auth.post("/register", status_code=202, responses=OPEN)
async def register(asked: RegisterIn, services: ServicesDep) -> Accepted:
    """Ask for an account: a letter brings a link, and the account is there once it is taken."""
    await registration.register(services, asked.email, asked.password)
    return Accepted(detail="A letter is on its way to this address.")


@auth.post("/verify", status_code=204, responses=OPEN)
async def verify_email(asked: TokenIn, services: ServicesDep) -> None:
    """Answer the letter of a registration: from now on you can sign in."""
    await registration.verify(services, asked.token)


@auth.post("/sign-in", responses=OPEN)
async def sign_in(
    asked: SignInIn, request: Request, services: ServicesDep
) -> TokensOut | MfaNeeded:
    """Sign this device in, or be asked for a second factor: POST /v1/auth/mfa."""
    return await signing_in.by_password(services, request, asked.email, asked.password)


@auth.post("/refresh", responses=OPEN)
async def refresh_tokens(asked: RefreshIn, services: ServicesDep) -> TokensOut:
    """A new pair of tokens. The refresh token that was sent is used up: a second use, but for
    tabs that race, signs the device out."""
    return await sessions.refresh(services, asked.refresh_token)


@auth.post("/sign-out", status_code=204, responses=MINE)
async def sign_out(user: SignedIn, session: SessionDep) -> None:
    """End this device's session."""
    await sessions.revoke(session, await sessions.current(session, user), "signed out")


@auth.post("/sign-out-everywhere", status_code=204, responses=MINE)
async def sign_out_everywhere(user: SignedIn, session: SessionDep) -> None:
    """End every session of yours, this one too."""
    await sessions.end_all(session, user)


@auth.post("/password/forgot", status_code=202, responses=OPEN)
async def forgot_password(asked: EmailIn, services: ServicesDep) -> Accepted:
    """Ask for a letter by which a new password can be set."""
    await changing.forgot(services, asked.email)
    return Accepted(detail="If there is such an account, a letter is on its way.")


@auth.post("/password/reset", status_code=204, responses=OPEN)
async def reset_password(asked: ResetIn, services: ServicesDep) -> None:
    """Set a new password by such a letter; every device is signed out, every API key ends."""
    await changing.reset(services, asked.token, asked.password)


@auth.post("/email/confirm", status_code=204, responses=OPEN)
async def confirm_email(asked: TokenIn, session: SessionDep) -> None:
    """Answer the letter to a new address: it is the account's from now on."""
    await changing.change_email(session, asked.token)


@mine.post("/password", status_code=204, responses=MINE)
async def change_password(
    asked: PasswordChangeIn, user: SignedIn, services: ServicesDep, session: SessionDep
) -> None:
    """Set another password. Other devices are signed out; this one refreshes its tokens."""
    await changing.password(services, session, user, asked.password, asked.current_password)


@mine.post("/email", status_code=202, responses=MINE)
async def change_email(
    asked: EmailChangeIn, user: SignedIn, services: ServicesDep, session: SessionDep
) -> Accepted:
    """Ask for another address: the letter that goes there has to be answered."""
    await changing.ask_email(services, session, user, asked.email, asked.password)
    return Accepted(detail="A letter is on its way to this address.")


@mine.get("/sessions", responses=documented(401, 403, 429))
async def list_sessions(user: SignedIn, session: SessionDep) -> SessionsOut:
    """Your signed-in devices, newest first."""
    found = [SessionOut.model_validate(row) for row in await sessions.every(session, user)]
    marked = [row.model_copy(update={"current": row.id == user.session_id}) for row in found]
    return SessionsOut(items=marked)


@mine.delete("/sessions/{session_id}", status_code=204, responses=MINE)
async def end_session(session_id: str, user: SignedIn, session: SessionDep) -> None:
    """Sign one of your devices out."""
    await sessions.revoke(session, await sessions.get(session, user, session_id), "ended by hand")


@known.get("/jwks.json", responses=documented(429))
async def get_jwks(session: SessionDep, response: Response) -> JwksOut:
    """The public keys by which our tokens and receipts are checked."""
    response.headers["Cache-Control"] = f"public, max-age={int(keyring.FRESH_S)}"
    return JwksOut.model_validate(await keyring.published(session))
