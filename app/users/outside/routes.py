"""HTTP for signing in elsewhere. Each route: unpack, one service call, return."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from app.dependencies import ServicesDep, SessionDep, SignedIn
from app.problems import documented
from app.strict_json import StrictRoute
from app.tables import OutsideIdentity
from app.users import reauthentication
from app.users.factors.schemas import Confirmed
from app.users.outside import handoff, identities, oidc
from app.users.outside.schemas import (
    BackFromProvider,
    DepartureIn,
    ExchangeIn,
    IdentitiesOut,
    IdentityOut,
    LinkIn,
    ProviderOut,
    ProvidersOut,
)
from app.users.schemas import MfaNeeded, TokensOut

steps = APIRouter(prefix="/v1/auth", tags=["signing in"], route_class=StrictRoute)
router = APIRouter(prefix="/v1/me/identities", tags=["my account"], route_class=StrictRoute)

ONWARD: dict[int | str, dict[str, Any]] = {
    303: {"description": "See Other", "headers": {"Location": {"schema": {"type": "string"}}}}
}
AWAY = ONWARD | documented(400, 401, 404, 422, 429)
STEPS = documented(400, 401, 403, 408, 409, 413, 422, 429)
CHANGES = documented(400, 401, 403, 404, 408, 409, 413, 422, 429)


@steps.get("/providers", responses=documented(429))
async def list_providers(services: ServicesDep) -> ProvidersOut:
    """Where people may sign in instead of here."""
    known = services.settings.oidc_providers.items()
    items = [
        ProviderOut(name=name, label=p.label or name, start=f"{steps.prefix}/oidc/{name}/start")
        for name, p in known
    ]
    return ProvidersOut(items=items)


@steps.get(
    "/oidc/{provider}/start", status_code=303, response_class=RedirectResponse, responses=AWAY
)
async def start_outside_sign_in(
    provider: str,
    asked: Annotated[DepartureIn, Query()],
    services: ServicesDep,
    session: SessionDep,
) -> RedirectResponse:
    """Send the browser here to sign in at a provider (OpenID Connect: code, PKCE, state, nonce)."""
    departure = await oidc.depart(
        services, session, provider, asked.return_to, asked.code_challenge
    )
    answer = RedirectResponse(departure.url, 303)
    answer.set_cookie(
        departure.cookie,
        departure.secret,
        max_age=int(oidc.AWAY_S),
        path=oidc.COOKIE_PATH,
        secure=services.settings.base_url.startswith("https:"),
        httponly=True,
        samesite="lax",  # the provider's page sends the browser back here
    )
    return answer


@steps.get(
    "/oidc/{provider}/callback", status_code=303, response_class=RedirectResponse, responses=AWAY
)
async def finish_outside_sign_in(
    provider: str,
    back: Annotated[BackFromProvider, Query()],
    request: Request,
    services: ServicesDep,
) -> RedirectResponse:
    """Where the provider sends the browser back to; it goes on to the app's return address, with
    `code` for POST /v1/auth/exchange, or with `error`."""
    cookie = oidc.cookie_of(back.state)
    onward = await oidc.arrive(services, provider, back, request.cookies.get(cookie))
    answer = RedirectResponse(onward, 303)
    answer.delete_cookie(cookie, path=oidc.COOKIE_PATH)
    return answer


@steps.post("/exchange", responses=STEPS)
async def exchange_code(
    asked: ExchangeIn, request: Request, services: ServicesDep
) -> TokensOut | MfaNeeded:
    """Tokens for the code of a return address. A second use closes what the first one opened."""
    return await handoff.exchange(services, asked, request)


@router.get("", responses=documented(401, 403, 429))
async def list_identities(user: SignedIn, session: SessionDep) -> IdentitiesOut:
    """Where else you can sign in to be here."""
    return IdentitiesOut(items=[_out(row) for row in await identities.listed(session, user.id)])


@router.post("", status_code=201, responses=CHANGES)
async def link_identity(
    asked: LinkIn, user: SignedIn, services: ServicesDep, session: SessionDep
) -> IdentityOut:
    """Link who you are elsewhere to this account, by the code of a return address."""
    account = await reauthentication.confirm(services, session, user, asked.password)
    return _out(await handoff.link(session, account, asked))


@router.post("/{identity_id}/remove", status_code=204, responses=CHANGES)
async def unlink_identity(
    identity_id: str, asked: Confirmed, user: SignedIn, services: ServicesDep, session: SessionDep
) -> None:
    """Signing in there does not open this account any more."""
    account = await reauthentication.confirm(services, session, user, asked.password)
    await identities.unlink(session, account, identity_id)


def _out(row: OutsideIdentity) -> IdentityOut:
    return IdentityOut(
        id=identities.id_of(row), issuer=row.issuer, email=row.email, created_at=row.created_at
    )
