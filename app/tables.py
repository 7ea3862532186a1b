"""The tables: recordings, consents, analyses, models and their rollouts, jobs, and events."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Json = dict[str, Any]


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {datetime: DateTime(timezone=True), Json: JSONB, list[str]: JSONB}  # noqa: RUF012


class Recording(Table):
    """A take that somebody uploaded; its sound lies in the object store under `key`."""

    __tablename__ = "recordings"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str]
    name: Mapped[str]
    key: Mapped[str]
    sha256: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    duration_s: Mapped[float]
    container: Mapped[str | None]
    codec: Mapped[str | None]
    sample_rate_hz: Mapped[int | None] = mapped_column(BigInteger)
    channels: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    forgets: Mapped[bool] = mapped_column(server_default=text("false"))  # its sound, once analysed
    sound_deleted_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "owner_id", "id"),
        Index(
            "ix_recordings_forgetting",
            "id",
            postgresql_where=text("forgets AND sound_deleted_at IS NULL"),
        ),
        Index("ix_recordings_deleted", "id", postgresql_where=text("deleted_at IS NOT NULL")),
    )


class State(StrEnum):
    queued = "queued"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"


FINAL = (State.done, State.failed, State.cancelled)


class AnalysisRow(Table):
    """One run over one recording. The row is the queue: Redis only carries news of it."""

    __tablename__ = "analyses"

    id: Mapped[str] = mapped_column(primary_key=True)
    recording_id: Mapped[str] = mapped_column(ForeignKey("recordings.id"))
    owner_id: Mapped[str]
    families: Mapped[list[str]]
    options: Mapped[Json]
    state: Mapped[str] = mapped_column(server_default=State.queued)
    progress: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    attempts: Mapped[int] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[str | None]
    last_reason: Mapped[str | None]  # why the latest attempt came to nothing
    failure: Mapped[Json | None]
    result: Mapped[Json | None] = mapped_column(deferred=True, deferred_raiseload=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    recording: Mapped[Recording] = relationship(lazy="raise")

    __table_args__ = (
        Index(None, "owner_id", "id"),
        Index(None, "recording_id"),
        Index(
            "ix_analyses_waiting",
            "id",
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
    )


class Event(Table):
    """What happened, written in the transaction in which it happened: the outbox."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    topic: Mapped[str]  # the id of what it happened to
    type: Mapped[str]
    payload: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published_at: Mapped[datetime | None]  # when the stream of domain events got it

    __table_args__ = (
        Index(None, "topic", "id"),
        Index("ix_events_unpublished", "id", postgresql_where=text("published_at IS NULL")),
    )


class Consent(Table):
    """What somebody lets their takes be used for, until they take it back."""

    __tablename__ = "consents"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)  # app.consents.Purpose
    granted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    withdrawn_at: Mapped[datetime | None]


class ConsentChange(Table):
    """That somebody gave or took back a consent, and by which text; never changed."""

    __tablename__ = "consent_changes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[str]
    purpose: Mapped[str]
    given: Mapped[bool]
    text_version: Mapped[str]  # what they were shown
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "user_id", "id"),)


class Gate(StrEnum):
    """What is known of a version's quality before it meets users."""

    shipped = "shipped"  # came with the release, evaluated there
    passed = "passed"
    failed = "failed"


class ModelVersion(Table):
    """A version of a family as the registry was last seen to hold it: nobody waits for MLflow."""

    __tablename__ = "model_versions"

    family: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)  # the registry's number
    sha256: Mapped[str]
    licence: Mapped[str]
    gate: Mapped[str]
    gate_reason: Mapped[str | None]
    schema_digest: Mapped[str]  # of the results it writes (models.results.schema_digest)
    memory_bytes: Mapped[int] = mapped_column(BigInteger)  # of the device that it runs on
    metrics: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    profile: Mapped[Json] = mapped_column(
        server_default=text("'{}'")
    )  # results on its own material
    tags: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    card: Mapped[str] = mapped_column(server_default="")
    registered: Mapped[bool] = mapped_column(server_default=text("true"))  # else: yet to be pushed
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Rollout(Table):
    """One family's versions: where it is to go (the wish), and who answers now (the route).

    The wish goes on to the registry's aliases as soon as that can be reached; the route is what
    conductors follow within a second. Each change of either is one more generation.
    """

    __tablename__ = "rollouts"

    family: Mapped[str] = mapped_column(primary_key=True)
    champion: Mapped[str]
    challenger: Mapped[str | None]
    percent: Mapped[float] = mapped_column(server_default="0")
    shadow: Mapped[str | None]
    previous: Mapped[str | None]  # kept warm, for an instant way back
    limits: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # the guardrails
    route: Mapped[Json]  # app.rollouts.routing.Route
    generation: Mapped[int] = mapped_column(BigInteger, server_default="1")
    pushed: Mapped[int] = mapped_column(BigInteger, server_default="0")  # that the registry has
    started_at: Mapped[datetime | None]  # when the challenger or shadow was asked for
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class RolloutEvent(Table):
    """What was done to a family's rollout, by whom and why."""

    __tablename__ = "rollout_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    family: Mapped[str]
    actor_id: Mapped[str]
    action: Mapped[str]
    reason: Mapped[str]
    before: Mapped[Json]
    after: Mapped[Json]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "family", "id"),)


class Observation(Table):
    """What one conductor saw of one version in about a second, summed."""

    __tablename__ = "observations"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    family: Mapped[str]
    version: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen: Mapped[Json]  # app.rollouts.observations.Seen

    __table_args__ = (Index(None, "family", "version", "at"), Index(None, "at"))


class ResultHour(Table):
    """How the results of one version were spread in one hour, in the bins of its profile."""

    __tablename__ = "result_hours"

    family: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)  # of the version
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    counted: Mapped[Json]  # models.profiles.Counted

    __table_args__ = (Index(None, "hour"),)


class AuditEntry(Table):
    """Who did what to what; never changed. What people did with their own account ends with it."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    actor_id: Mapped[str]
    action: Mapped[str]  # e.g. rollout.promote
    target: Mapped[str]
    details: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "target", "id"), Index(None, "actor_id", "id"))


class JobState(StrEnum):
    queued = "queued"
    running = "running"
    paused = "paused"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"


class Job(Table):
    """Long work of an operator: retraining or reanalysis. The row is the queue."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]  # retraining | reanalysis
    owner_id: Mapped[str]
    asked: Mapped[Json]
    state: Mapped[str] = mapped_column(server_default=JobState.queued)
    progress: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    attempts: Mapped[int] = mapped_column(server_default="0")
    lease_until: Mapped[datetime | None]
    lease_token: Mapped[str | None]
    failure: Mapped[Json | None]
    result: Mapped[Json | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        Index(None, "owner_id", "id"),
        Index("ix_jobs_waiting", "id", postgresql_where=text("state IN ('queued', 'running')")),
    )


class Reanalysis(Table):
    """One family's result of one version on one recording, as a reanalysis found it: once."""

    __tablename__ = "reanalyses"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    recording_id: Mapped[str] = mapped_column(ForeignKey("recordings.id"))
    family: Mapped[str]
    version: Mapped[str]
    sha256: Mapped[str]
    result: Mapped[Json] = mapped_column(deferred=True, deferred_raiseload=True)
    measured: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # measures' plain values
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("recording_id", "family", "version", "sha256"),
        Index(None, "job_id", "id"),
    )


# People


class Account(Table):
    """Somebody who signs in, or a service account that only has API keys."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str | None]  # as it was written
    email_key: Mapped[str | None] = mapped_column(unique=True)  # NFKC, lower case: who it is
    verified_at: Mapped[datetime | None]
    password_hash: Mapped[str | None]
    roles: Mapped[list[str]] = mapped_column(server_default=text("'[\"singer\"]'"))
    is_service: Mapped[bool] = mapped_column(server_default=text("false"))
    owner_id: Mapped[str | None]  # of a service account: who made it
    profile: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # app.users.me.profile
    settings: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    revision: Mapped[int] = mapped_column(server_default="1")  # of profile and settings: the ETag
    epoch: Mapped[int] = mapped_column(server_default="1")  # access tokens of an older one are dead
    disabled_at: Mapped[datetime | None]
    delete_after: Mapped[datetime | None]  # asked for; until then it can be taken back
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SignIn(Table):
    """A signed-in device: the family of its refresh tokens."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    client_id: Mapped[str]
    device: Mapped[str]  # what its user agent says, cut
    address: Mapped[str]
    factors: Mapped[list[str]]  # password, totp, recovery, passkey, oidc
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_why: Mapped[str | None]

    __table_args__ = (Index(None, "user_id"),)


class RefreshToken(Table):
    """One of a session's refresh tokens; only the newest may be used."""

    __tablename__ = "refresh_tokens"

    digest: Mapped[str] = mapped_column(primary_key=True)  # SHA-256 of the token
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    child: Mapped[str | None]  # sealed with a key that only the parent token gives
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "session_id"),)


class OneTimeToken(Table):
    """A link or a step that can be taken once: verify, reset, change_email, mfa, ..."""

    __tablename__ = "one_time_tokens"

    digest: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    data: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "user_id", "purpose"),)


class SigningKey(Table):
    """A key that access tokens are, or were, signed with."""

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    public: Mapped[Json]  # JWK
    private: Mapped[str]  # sealed with the settings' secret
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    retired_at: Mapped[datetime | None]  # signs no more; verifies until its last token has run out


class Factor(Table):
    """A second factor: a TOTP secret, a recovery code, a passkey."""

    __tablename__ = "factors"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str]  # totp | recovery | passkey
    label: Mapped[str] = mapped_column(server_default="")
    secret: Mapped[str]  # sealed, or a digest, or a passkey's public key
    lookup: Mapped[str | None] = mapped_column(unique=True)  # a passkey's credential id
    counter: Mapped[int] = mapped_column(BigInteger, server_default="0")  # step or signature count
    confirmed_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "user_id", "kind"),)


class OutsideIdentity(Table):
    """An account's name at somebody else's door."""

    __tablename__ = "outside_identities"

    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "user_id"),)


class ApiKey(Table):
    """A key of a program, with the scopes it was given."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "user_id"),)


class Coaching(Table):
    """A coach's invitation to a singer, and what became of it."""

    __tablename__ = "coachings"

    id: Mapped[str] = mapped_column(primary_key=True)
    coach_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    singer_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email_key: Mapped[str]  # who was invited
    accepted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "coach_id"), Index(None, "singer_id"))


class Mail(Table):
    """A letter that waits to be sent; written in the transaction that calls for it."""

    __tablename__ = "mails"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    to: Mapped[str]
    subject: Mapped[str]
    body: Mapped[str]  # emptied once it is sent: it may hold a link
    attempts: Mapped[int] = mapped_column(server_default="0")
    available_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_mails_waiting", "id", postgresql_where=text("sent_at IS NULL")),)


class IdempotencyKey(Table):
    """A request that its sender may repeat: what it was, and what was answered."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]  # of method, path and body
    status: Mapped[int | None]  # None while it runs
    headers: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    body: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "created_at"),)


class DeletionReceipt(Table):
    """That an account and all of it was deleted; it names nobody."""

    __tablename__ = "deletion_receipts"

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]  # a digest of the account's id
    counts: Mapped[Json]
    signature: Mapped[str]  # JWS by a signing key
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
