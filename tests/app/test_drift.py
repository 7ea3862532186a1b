"""Drift: what versions answer lately is counted by hour and shown beside their own material."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from app import database
from app.errors import DatabaseDown
from app.rollouts import drift
from app.rollouts.drift import Tally
from app.services import Services
from app.tables import Gate, ModelVersion, ResultHour
from models import profiles
from models.results import FamilyResult, Measure, Pitch, Version
from tests.app.conftest import Client
from tests.fakes import analysis

PITCH = Version(name="pitch", version="3", sha256="abc")


def voices(count: int, median_hz: float, seed: int) -> list[FamilyResult]:
    rng = random.Random(seed)
    return [
        Pitch(
            version=PITCH,
            measures={
                "f0_median_hz": Measure(value=rng.gauss(median_hz, 20), unit="Hz", confidence=0.9)
            },
        )
        for _ in range(count)
    ]


@pytest.fixture
async def known(platform: Services) -> None:
    """A version that was made with voices around 200 Hz."""
    profile = profiles.profile(voices(300, 200, seed=1)).model_dump(mode="json")
    async with platform.transaction() as session:
        session.add(
            ModelVersion(
                family="pitch", version="3", sha256="abc", licence="MIT", gate=Gate.passed,
                schema_digest="", memory_bytes=0, profile=profile,
            )
        )  # fmt: skip


async def serve(platform: Services, found: list[FamilyResult]) -> None:
    for result in found:
        platform.observe(analysis().model_copy(update={"pitch": result}))
    await platform.tally.write(platform.sessions)


async def test_other_voices_than_those_of_the_training_are_seen_in_the_metrics(
    platform: Services, known: None, ada: Client
) -> None:
    await serve(platform, voices(150, 200, seed=2))
    alike = (await ada.get("/metrics")).text
    await serve(platform, voices(450, 260, seed=3))
    other = (await ada.get("/metrics")).text

    psi = 'vocality_result_psi{family="pitch",measure="f0_median_hz",version="3"}'
    assert _value(alike, psi) < 0.1
    assert _value(other, psi) > 0.25
    assert _value(other, 'vocality_result_takes{family="pitch",version="3"}') == 600
    mean = 'vocality_result_mean{family="pitch",measure="f0_median_hz",of="%s",version="3"}'
    assert _value(other, mean % "training") == pytest.approx(200, abs=5)
    assert _value(other, mean % "served") == pytest.approx(245, abs=5)


async def test_few_takes_have_no_index_and_old_ones_do_not_count(
    platform: Services, known: None, ada: Client
) -> None:
    await serve(platform, voices(50, 260, seed=2))

    assert "vocality_result_psi{" not in (await ada.get("/metrics")).text
    async with platform.transaction() as session:
        await session.execute(update(ResultHour).values(hour=func.now() - timedelta(hours=30)))
    assert "vocality_result_takes{" not in (await ada.get("/metrics")).text


async def test_versions_without_material_of_their_own_are_not_counted(platform: Services) -> None:
    await serve(platform, voices(5, 200, seed=2))

    async with platform.transaction() as session:
        assert (await session.scalars(select(ResultHour))).all() == []


async def test_what_is_found_while_the_database_is_away_is_counted_later(
    platform: Services, known: None
) -> None:
    nowhere = database.engine("postgresql://127.0.0.1:9/none")
    away = type(platform.sessions)(nowhere)
    for result in voices(3, 200, seed=2):
        platform.observe(analysis().model_copy(update={"pitch": result}))

    with pytest.raises(DatabaseDown):
        await platform.tally.write(away)
    await platform.tally.write(platform.sessions)

    async with platform.transaction() as session:
        [spread] = await drift.lately(session)
    assert spread.served.takes == 3
    await nowhere.dispose()


def test_a_tally_does_not_grow_without_bound() -> None:
    tally = Tally()
    [result] = voices(1, 200, seed=1)
    for _ in range(drift.MOST_WAITING + 10):
        tally.add(analysis().model_copy(update={"pitch": result}))

    assert len(tally.waiting["pitch", "abc"]) == drift.MOST_WAITING


def _value(numbers: str, name: str) -> float:
    [line] = [line for line in numbers.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])
