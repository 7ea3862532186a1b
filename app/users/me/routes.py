"""HTTP for what is one's own: profile, privacy, take-out, the end. Each route: unpack, one service
call, return."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from app import audit
from app.audit import AuditOut, AuditPage
from app.consents import Purpose
from app.dependencies import MayReadProfile, MayWriteProfile, ServicesDep, SessionDep, SignedIn
from app.pages import Cursor, Limit
from app.problems import documented
from app.strict_json import StrictRoute
from app.tables import DeletionReceipt
from app.users import reauthentication
from app.users.me import deletion, privacy, profile, takeout
from app.users.me.profile import Changes, Privacy
from app.users.me.schemas import (
    ConsentChangeOut,
    ConsentHistory,
    ConsentIn,
    ConsentList,
    ConsentOut,
    DeletionIn,
    DeletionOut,
    MeOut,
    ProofIn,
    ReceiptOut,
    TakeoutOut,
)

router = APIRouter(prefix="/v1", tags=["me"], route_class=StrictRoute)

IfMatch = Annotated[
    str | None,
    Header(max_length=200, description="The ETag that the change was made in sight of."),
]


@router.get("/me", responses=documented(401))
async def get_me(user: MayReadProfile, session: SessionDep, response: Response) -> MeOut:
    """Who you are here. Its `ETag` belongs into the `If-Match` of a change."""
    account = await profile.own(session, user)
    response.headers["ETag"] = profile.etag(account)
    return MeOut.of(account)


@router.patch("/me", responses=documented(400, 401, 408, 412, 413, 422))
async def update_me(
    changes: Changes,
    user: MayWriteProfile,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> MeOut:
    """Change profile and preferences: what is named changes, what is left out stays."""
    account = await profile.change(session, user, changes, if_match)
    response.headers["ETag"] = profile.etag(account)
    return MeOut.of(account)


@router.put("/me/privacy", responses=documented(400, 401, 408, 412, 413, 422))
async def set_privacy(
    wanted: Privacy,
    user: SignedIn,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> MeOut:
    """How long recordings stay, and whether their sound stays at all. What is older than the new
    `retention_days` is deleted within minutes."""
    account = await profile.set_privacy(session, user, wanted, if_match)
    response.headers["ETag"] = profile.etag(account)
    return MeOut.of(account)


@router.get("/me/consents", responses=documented(401))
async def list_consents(user: SignedIn, session: SessionDep) -> ConsentList:
    """What your takes may be used for, and the text of each purpose."""
    return ConsentList(items=await privacy.every(session, user))


@router.put("/me/consents/{purpose}", responses=documented(400, 401, 408, 409, 413, 422))
async def decide_consent(
    purpose: Purpose, asked: ConsentIn, user: SignedIn, session: SessionDep
) -> ConsentOut:
    """Give or take back a consent, from now on. Without `analysis` no new analysis is made, and
    those that wait are cancelled."""
    return await privacy.decide(session, user, purpose, asked)


@router.get("/me/consent-changes", responses=documented(400, 401, 422))
async def list_consent_changes(
    user: SignedIn, session: SessionDep, limit: Limit = 20, cursor: Cursor = None
) -> ConsentHistory:
    """What you consented to and took back, newest first."""
    items, next_cursor = await privacy.history(session, user, limit, cursor)
    return ConsentHistory(
        items=[ConsentChangeOut.model_validate(item) for item in items], next_cursor=next_cursor
    )


@router.get("/me/audit", responses=documented(400, 401, 422))
async def list_my_audit_entries(
    user: SignedIn, session: SessionDep, limit: Limit = 20, cursor: Cursor = None
) -> AuditPage:
    """What you did, and what was done to your account, newest first."""
    items, next_cursor = await audit.about(session, user.id, limit, cursor)
    return AuditPage(
        items=[AuditOut.model_validate(item) for item in items], next_cursor=next_cursor
    )


@router.post("/me/takeout", status_code=201, responses=documented(400, 401, 408, 413, 422))
async def create_takeout(
    proof: ProofIn, user: SignedIn, services: ServicesDep, session: SessionDep
) -> TakeoutOut:
    """An address, good for minutes, at which everything that is held of you lies as a zip."""
    account = await reauthentication.confirm(services, session, user, proof.password)
    token, until = await takeout.address(session, account)
    return TakeoutOut(url=f"/v1/takeout?token={token}", expires_at=until)


@router.get(
    "/takeout",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/zip": {}}, "description": "Lists as JSON, and the sound."},
        **documented(401, 422),
    },
)
async def get_takeout(
    token: Annotated[str, Query(min_length=1, max_length=200)], services: ServicesDep
) -> StreamingResponse:
    """Everything that is held of whom this address was made for. It may be asked again."""
    account = await takeout.opened(services, token)
    name = f"vocality-{datetime.now(UTC):%Y-%m-%d}.zip"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    zipped = takeout.zipped(services, account)
    return StreamingResponse(zipped, headers=headers, media_type="application/zip")


@router.post("/me/deletion", status_code=202, responses=documented(400, 401, 408, 409, 413, 422))
async def create_deletion(
    asked: DeletionIn,
    user: SignedIn,
    services: ServicesDep,
    session: SessionDep,
    response: Response,
) -> DeletionOut:
    """Delete the account and all of it, after the time in which it can be taken back or at once.
    Its signed receipt lies at `Location` when it is done, and comes by mail."""
    account = await reauthentication.confirm(services, session, user, asked.password)
    after = await deletion.ask(services, session, account, at_once=asked.at_once)
    receipt_id = deletion.receipt_id(account)
    response.headers["Location"] = f"/v1/deletions/{receipt_id}"
    return DeletionOut(receipt_id=receipt_id, delete_after=after)


@router.delete("/me/deletion", responses=documented(401, 409))
async def cancel_deletion(user: SignedIn, session: SessionDep) -> MeOut:
    """Keep the account after all. Safe to repeat."""
    account = await profile.own(session, user, for_update=True)
    await deletion.take_back(session, account)
    return MeOut.of(account)


@router.get("/deletions/{receipt_id}", response_model=ReceiptOut, responses=documented(404, 422))
async def get_deletion_receipt(receipt_id: str, session: SessionDep) -> DeletionReceipt:
    """That an account was deleted, for who knows the receipt's id."""
    return await deletion.receipt(session, receipt_id)
