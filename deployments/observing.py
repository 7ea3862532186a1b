"""Observing: sums of what this conductor sees of versions on trial, written down every second."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app import database
from app.errors import DatabaseDown
from app.rollouts.observations import Seen, Spread
from app.tables import Observation
from models import scores as scoring
from models.engine import Options
from models.results import Family, FamilyResult

EVERY_S = 1.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Observer:
    seen: dict[tuple[Family, str], Seen] = field(default_factory=dict)

    def of(self, family: Family, version: str) -> Seen:
        return self.seen.setdefault((family, version), Seen())

    async def write(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        """What was seen since the last time. Raises DatabaseDown, and then nothing is lost."""
        taken, self.seen = self.seen, {}
        rows = [
            Observation(family=family, version=version, seen=seen.model_dump(mode="json"))
            for (family, version), seen in taken.items()
        ]
        try:
            async with database.outages(), sessions.begin() as session:
                session.add_all(rows)
        except BaseException:
            for key, seen in taken.items():
                self.of(*key).merge(seen)
            raise

    async def write_forever(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                if self.seen:
                    await self.write(sessions)
            except DatabaseDown:
                pass
            except Exception:  # it must go on: the guardrails rest on it
                log.exception("The observations cannot be written.")


def compare(
    seen: Seen,
    family: Family,
    trial: FamilyResult,
    champion: FamilyResult,
    others: Mapping[Family, FamilyResult],
    options: Options,
) -> None:
    """Add how the trial's answer differs from the champion's on one take.

    Scores in points, with every other family's result the same; measures in their own unit.
    """
    seen.compared += 1
    if (trial.absent is None) != (champion.absent is None):
        seen.unlike += 1
        return
    theirs, mine = (scoring.score({**others, family: r}, options) for r in (champion, trial))
    for name, score in mine.items():
        if score.value is not None and (other := theirs[name].value) is not None:
            seen.scores.setdefault(name, Spread()).add(score.value - other)
    for name in trial.measures.keys() & champion.measures.keys():
        difference = trial.measures[name].value - champion.measures[name].value
        seen.measures.setdefault(name, Spread()).add(difference)
