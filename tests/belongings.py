"""What people own, a row of each kind, by the names that paths give to their ids."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import events, ids
from app.rollouts.changes import topic_of
from app.tables import (
    Account,
    AnalysisRow,
    ApiKey,
    Coaching,
    DeletionReceipt,
    Factor,
    Job,
    ModelVersion,
    OutsideIdentity,
    Recording,
    Rollout,
    SignIn,
    Table,
)
from app.users.outside.identities import id_of
from models.results import Family, schema_digest

Ids = dict[str, str]  # by the name of the path's parameter
NOW = datetime.now(UTC)
TOMORROW = NOW + timedelta(days=1)


def account(user_id: str, **columns: object) -> Account:
    email = f"{user_id}@example.org"
    return Account(id=user_id, email=email, email_key=email, verified_at=NOW, **columns)


async def give(session: AsyncSession, owner: str) -> Ids:
    """One of everything to somebody who has an account; safe to repeat for more."""
    coach = account(ids.new("usr"))
    take = _recording(owner)
    await _add(session, coach, take)
    measured = _analysis(take)
    phone = device(owner, ids.new("ses"))
    key, passkey = _key(owner), _factor(owner, "passkey")
    totp = _factor(owner, "totp", confirmed_at=None)
    invitation = Coaching(id=ids.new("inv"), coach_id=coach.id, email_key=f"{owner}@example.org")
    outside = OutsideIdentity(issuer="https://id.example.org", subject=take.id, user_id=owner)
    await _add(session, measured, phone, key, passkey, totp, invitation, outside)
    events.append(session, measured.id, "queued", {})
    return {
        "recording_id": take.id,
        "analysis_id": measured.id,
        "session_id": phone.id,
        "key_id": key.id,
        "factor_id": passkey.id,
        "totp_id": totp.id,
        "identity_id": id_of(outside),
        "coaching_id": invitation.id,
    }


async def share(session: AsyncSession) -> Ids:
    """What is nobody's own: whoever may see any of it sees all of it."""
    job = Job(id=ids.new("job"), kind="reanalysis", owner_id="usr_none", asked={})
    person, program = account(ids.new("usr")), account(ids.new("usr"), is_service=True)
    route = {"champion": "1", "hosts": {"1": "pitch--v1", "2": "pitch--v2"}}
    trial = Rollout(family="pitch", champion="1", challenger="2", percent=10, route=route)
    hosts = {"1": "timbre--v1", "2": "timbre--v2"}
    steady = Rollout(
        family="timbre", champion="2", previous="1", route={"champion": "2", "hosts": hosts}
    )
    versions = [_version(family, number) for family in ("pitch", "timbre") for number in "123"]
    receipt = DeletionReceipt(id=ids.new("del"), subject="0" * 64, counts={}, signature="a.b.c")
    await _add(session, job, person, program, trial, steady, receipt, *versions)
    key = _key(program.id)
    await _add(session, key)
    events.append(session, job.id, "queued", {})
    events.append(session, topic_of("pitch"), "start", {})
    return {
        "job_id": job.id,
        "family": "pitch",
        "version": "1",
        "user_id": person.id,
        "service_account_id": program.id,
        "service_key_id": key.id,
        "receipt_id": receipt.id,
        "purpose": "training",
        "provider": "elsewhere",
        "step": "verify",
    }


async def _add(session: AsyncSession, *rows: Table) -> None:
    session.add_all(rows)
    await session.flush()


def _recording(owner: str) -> Recording:
    name = ids.new("rec")
    return Recording(
        id=name, owner_id=owner, name="take", key=f"recordings/{name}/master", sha256="0" * 64,
        size_bytes=1, duration_s=1.0, channels=1,
    )  # fmt: skip


def _analysis(take: Recording) -> AnalysisRow:
    return AnalysisRow(
        id=ids.new("ana"), recording_id=take.id, owner_id=take.owner_id, families=["pitch"],
        options={},
    )  # fmt: skip


def device(owner: str, name: str) -> SignIn:
    return SignIn(
        id=name, user_id=owner, client_id="vocality", device="Firefox",
        address="127.0.0.1", factors=["password"], expires_at=TOMORROW,
    )  # fmt: skip


def _key(owner: str) -> ApiKey:
    name = ids.new("key")
    return ApiKey(id=name, user_id=owner, name="a program", digest=name, scopes=["analyze"])


def _factor(owner: str, kind: str, confirmed_at: datetime | None = NOW) -> Factor:
    name = ids.new("fac")
    return Factor(
        id=name, user_id=owner, kind=kind, secret="", lookup=name, confirmed_at=confirmed_at
    )


def _version(family: Family, number: str) -> ModelVersion:
    return ModelVersion(
        family=family, version=number, sha256=number * 64, licence="Apache-2.0", gate="passed",
        schema_digest=schema_digest(family), memory_bytes=1_000_000,
    )  # fmt: skip
