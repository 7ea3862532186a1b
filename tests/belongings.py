"""What people own, a row of each kind, by the names that paths give to their ids."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app import events, ids
from app.tables import (
    Account,
    AnalysisRow,
    ApiKey,
    Coaching,
    Factor,
    Job,
    ModelVersion,
    Recording,
    Rollout,
    SignIn,
)
from models.results import schema_digest

Ids = dict[str, str]  # by the name of the path's parameter


def account(user_id: str) -> Account:
    email = f"{user_id}@example.org"
    return Account(id=user_id, email=email, email_key=email, verified_at=datetime.now(UTC))


async def give(session: AsyncSession, owner: str) -> Ids:
    """One of everything to somebody who has an account; safe to repeat for more."""
    soon = datetime.now(UTC) + timedelta(days=1)
    recording = Recording(
        id=ids.new("rec"), owner_id=owner, name="take", key="recordings/none", sha256="0" * 64,
        size_bytes=1, duration_s=1.0, channels=1,
    )  # fmt: skip
    analysis = AnalysisRow(
        id=ids.new("ana"), recording_id=recording.id, owner_id=owner, families=["pitch"], options={}
    )
    device = SignIn(
        id=ids.new("ses"), user_id=owner, client_id="vocality", device="Firefox",
        address="127.0.0.1", factors=["password"], expires_at=soon,
    )  # fmt: skip
    key = ApiKey(
        id=ids.new("key"),
        user_id=owner,
        name="a program",
        digest=ids.new("key"),
        scopes=["analyze"],
    )
    factor = Factor(
        id=ids.new("fac"), user_id=owner, kind="passkey", secret="", lookup=ids.new("fac"),
        confirmed_at=datetime.now(UTC),
    )  # fmt: skip
    coaching = Coaching(
        id=ids.new("inv"), coach_id=owner, email_key=f"{ids.new('usr')}@example.org"
    )
    session.add_all([recording, device, key, factor, coaching])
    await session.flush()
    session.add(analysis)
    await session.flush()
    events.append(session, analysis.id, "queued", {})
    return {
        "recording_id": recording.id,
        "analysis_id": analysis.id,
        "session_id": device.id,
        "key_id": key.id,
        "factor_id": factor.id,
        "passkey_id": factor.id,
        "coaching_id": coaching.id,
        "invitation_id": coaching.id,
        "user_id": owner,
    }


async def share(session: AsyncSession) -> Ids:
    """What all operators see alike: a family with two versions, a rollout, a job."""
    job = Job(id=ids.new("job"), kind="retraining", owner_id="usr_none", asked={})
    session.add(job)
    for number in "12":
        session.add(_version(number))
    route = {"champion": "1", "hosts": {"1": "pitch--v1", "2": "pitch--v2"}}
    session.add(Rollout(family="pitch", champion="1", challenger="2", percent=10, route=route))
    await session.flush()
    events.append(session, job.id, "queued", {})
    return {"job_id": job.id, "family": "pitch", "version": "1"}


def _version(number: str) -> ModelVersion:
    return ModelVersion(
        family="pitch", version=number, sha256=number * 64, licence="Apache-2.0", gate="passed",
        schema_digest=schema_digest("pitch"), memory_bytes=1_000_000,
    )  # fmt: skip
