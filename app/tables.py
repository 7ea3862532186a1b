"""The tables: what is remembered of recordings and analyses, and the events they cause."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, MetaData, func, text
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
    deleted_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "owner_id", "id"),)


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
