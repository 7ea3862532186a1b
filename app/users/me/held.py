"""Held: what each table holds of somebody; whether they get a copy, and what stays after them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from app.tables import (
    Account,
    AnalysisRow,
    ApiKey,
    AuditEntry,
    Coaching,
    Consent,
    ConsentChange,
    DeletionReceipt,
    Event,
    Factor,
    IdempotencyKey,
    Job,
    Mail,
    ModelVersion,
    Observation,
    OneTimeToken,
    OutsideIdentity,
    Reanalysis,
    Recording,
    RefreshToken,
    ResultHour,
    Rollout,
    RolloutEvent,
    SignIn,
    SigningKey,
    Table,
)

Whose = Callable[[Account], ColumnElement[bool]]

PLATFORM = ("rollouts:", "job_", "users:")  # what audit entries of operators are about


@dataclass(frozen=True, slots=True)
class Held:
    """A table with rows of people."""

    table: type[Table]
    whose: Whose
    copied: bool = True  # into the take-out
    secret: frozenset[str] = frozenset()  # columns that are never copied
    ends: Whose | None = None  # which rows go with the account, if not all of theirs
    rows: int = 500  # that fit into memory at once


def by(column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None]) -> Whose:
    return lambda account: column == account.id


def recorded(column: InstrumentedAttribute[str]) -> Whose:
    """By the recording that it is of."""
    return lambda account: column.in_(select(Recording.id).where(Recording.owner_id == account.id))


def _told(account: Account) -> ColumnElement[bool]:
    analyses = select(AnalysisRow.id).where(AnalysisRow.owner_id == account.id)
    recordings = select(Recording.id).where(Recording.owner_id == account.id)
    return or_(Event.topic == account.id, Event.topic.in_(analyses), Event.topic.in_(recordings))


def _noted(account: Account) -> ColumnElement[bool]:
    about = AuditEntry.target == f"users:{account.id}"
    return or_(AuditEntry.actor_id == account.id, about)


def _noted_of_itself(account: Account) -> ColumnElement[bool]:
    """What somebody did to the platform or to others, and others to them, stays: ids of nobody."""
    platforms = or_(*(AuditEntry.target.startswith(kind) for kind in PLATFORM))
    itself = or_(~platforms, AuditEntry.target == f"users:{account.id}")
    return and_(AuditEntry.actor_id == account.id, itself)


def _coached(account: Account) -> ColumnElement[bool]:
    return or_(
        Coaching.coach_id == account.id,
        Coaching.singer_id == account.id,
        Coaching.email_key == (account.email_key or ""),
    )


def _nothing(_: Account) -> ColumnElement[bool]:
    return false()


# In the order in which their rows can be deleted.
HELD = (
    Held(Reanalysis, recorded(Reanalysis.recording_id), rows=5),
    Held(Event, _told, copied=False),  # the steps of analyses, which are copied
    Held(AnalysisRow, by(AnalysisRow.owner_id), secret=frozenset({"lease_token"}), rows=5),
    Held(Recording, by(Recording.owner_id)),
    Held(ConsentChange, by(ConsentChange.user_id)),
    Held(Consent, by(Consent.user_id)),
    Held(Coaching, _coached),
    Held(ApiKey, by(ApiKey.user_id), secret=frozenset({"digest"})),
    Held(Factor, by(Factor.user_id), secret=frozenset({"secret", "counter"})),
    Held(OutsideIdentity, by(OutsideIdentity.user_id)),
    Held(OneTimeToken, by(OneTimeToken.user_id), copied=False),  # links, worth nothing soon
    Held(
        RefreshToken,
        lambda account: RefreshToken.session_id.in_(
            select(SignIn.id).where(SignIn.user_id == account.id)
        ),
        copied=False,  # digests
    ),
    Held(SignIn, by(SignIn.user_id)),
    Held(IdempotencyKey, by(IdempotencyKey.user_id), copied=False),  # answers they had already
    Held(Mail, lambda account: Mail.to == (account.email or ""), secret=frozenset({"body"})),
    Held(AuditEntry, _noted, ends=_noted_of_itself),
    Held(Job, by(Job.owner_id), secret=frozenset({"lease_token"}), ends=_nothing),
    Held(RolloutEvent, by(RolloutEvent.actor_id), ends=_nothing),
    Held(Account, by(Account.id), secret=frozenset({"password_hash"})),
)

NOBODYS: Mapping[type[Table], str] = {
    ModelVersion: "what is known of models",
    Rollout: "which versions answer",
    Observation: "sums over many people",
    ResultHour: "sums over many people",
    SigningKey: "the platform's own",
    DeletionReceipt: "it names nobody, and has to outlive the account",
}
