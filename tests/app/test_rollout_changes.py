"""Changes of a rollout by whoever makes them, and what is remembered of its versions."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.errors import AppError
from app.rollouts import changes, keeping, observed, service
from app.rollouts.observations import Seen, Spread
from app.rollouts.routing import Route
from app.rollouts.schemas import Adjustment, RolloutIn
from app.services import Services
from app.tables import Gate, Observation, Rollout
from tests.app.rollouts import REA, audited, observe, route, serve, version, wish
from tests.conftest import clean

Client = httpx2.AsyncClient


async def test_a_window_holds_what_is_younger(platform: Services) -> None:
    await serve(platform)
    await observe(platform, "2", Seen(requests=3, latency={"4": 2, "7": 1}))
    await observe(platform, "2", Seen(requests=4, latency={"7": 4}))
    await observe(platform, "1", Seen(requests=100))

    async with platform.transaction() as session:
        recent = await service.window(session, "pitch", "2", 60)
        none = await service.window(session, "pitch", "2", 0)

    assert recent == Seen(requests=7, latency={"4": 2, "7": 5})
    assert none == Seen()


async def test_old_observations_take_little_room_and_lose_nothing(platform: Services) -> None:
    now = datetime.now(UTC)
    seen = Seen(requests=2, latency={"4": 2}, scores={"tone": Spread(count=1, largest=3.0)})
    async with platform.transaction() as session:
        for age in [*range(0, 3 * 3600, 60), 40 * 86400]:
            at = now - timedelta(seconds=age)
            row = Observation(family="pitch", version="2", at=at, seen=seen.model_dump())
            session.add(row)

    async with platform.transaction() as session:
        merged = await keeping.tidy(session)
        again = await keeping.tidy(session)
        left = len(list(await session.scalars(select(Observation))))
        whole = await observed.since(session, "pitch", "2", now - timedelta(days=300))

    assert merged in (11, 12)
    assert again == 0
    assert 60 <= left < 60 + 10 + 13  # an hour, a stretch that is not over, one a stretch
    assert (whole.requests, whole.latency) == (360, {"4": 360})
    assert whole.scores["tone"] == Spread(count=180, largest=3.0)


async def test_a_version_that_does_not_start_is_given_up_once(platform: Services) -> None:
    await serve(platform)
    async with platform.transaction() as session:
        await service.start(session, REA, RolloutIn(family="pitch", version="3"))

    for _ in range(2):
        async with platform.transaction() as session:
            row = await service.give_up(session, "pitch", "3", "It crashed\0\x1b[31m." * 1000)

    assert (row.challenger, row.champion, row.generation) == (None, "1", 3)
    async with platform.transaction() as session:
        [given_up, _], _ = await service.history(session, "pitch", 5, None)
    assert given_up.actor_id == "reconciler"
    assert given_up.reason.startswith("It crashed  [31m.")
    assert len(given_up.reason) < 2100


async def test_a_champion_that_does_not_start_gives_way_to_who_answers(
    platform: Services,
) -> None:
    await serve(platform, champion="3", previous="1", warm="1")

    async with platform.transaction() as session:
        row = await service.give_up(session, "pitch", "3", "Its weights are gone.")

    assert (row.champion, row.previous) == ("1", None)
    async with platform.transaction() as session:
        same = await service.give_up(session, "pitch", "1", "It does not start either.")
    assert (same.champion, same.generation) == ("1", row.generation)


async def test_the_registrys_aliases_are_adopted(platform: Services) -> None:
    await serve(platform)

    async with platform.transaction() as session:
        row = await service.adopt(session, "pitch", "2", "3", 20.0, None, "1")

    assert (row.champion, row.challenger, row.percent, row.previous) == ("2", "3", 20.0, "1")
    assert row.pushed == row.generation == 2
    assert (await route(platform)).champion == "2"
    assert (await route(platform)).percent == {}  # 3 is cold


@pytest.mark.parametrize(
    ("champion", "challenger", "percent"),
    [(None, None, 0), ("9", None, 0), ("1", "4", 10), ("1", "1", 10), ("1", "2", 300)],
    ids=["no champion", "unknown", "gate failed", "one version twice", "percent"],
)
async def test_aliases_that_must_not_be_are_refused_and_overwritten(
    platform: Services, champion: str | None, challenger: str | None, percent: float
) -> None:
    await serve(platform)
    async with platform.transaction() as session:
        session.add(version("pitch", "4", gate=Gate.failed))

    async with platform.transaction() as session:
        row = await service.adopt(session, "pitch", champion, challenger, percent, None, None)

    assert (row.champion, row.challenger) == ("1", None)
    assert row.pushed < row.generation  # so the wish is pushed again
    async with platform.transaction() as session:
        [refusal], _ = await service.history(session, "pitch", 5, None)
    assert (refusal.action, refusal.actor_id) == ("refuse", "registry")


async def test_a_new_route_is_no_new_wish(platform: Services) -> None:
    await serve(platform)
    async with platform.transaction() as session:
        row = await service.start(session, REA, RolloutIn(family="pitch", version="3"))
    with platform.news.watch(changes.TOPIC) as bell:
        async with platform.transaction() as session:
            row = await service.get(session, "pitch", for_update=True)
            warm = {**row.route["hosts"], "3": "pitch--v3"}
            await service.reroute(session, row, changes.route_of(row, warm))
        rung = bell.is_set()

    assert (row.generation, rung) == (2, True)
    assert (await route(platform)).percent == {"3": 10}
    assert (await audited(platform)) == ["rollout.start"]


Move = Callable[[Any], Any]
MOVES: dict[str, Move] = {
    "canary": lambda s: service.start(s, REA, RolloutIn(family="pitch", version="2")),
    "shadow": lambda s: service.start(
        s, REA, RolloutIn(family="pitch", version="3", mode="shadow")
    ),
    "more": lambda s: service.adjust(s, REA, "pitch", Adjustment(percent=60)),
    "to canary": lambda s: service.adjust(s, REA, "pitch", Adjustment(mode="canary")),
    "to shadow": lambda s: service.adjust(s, REA, "pitch", Adjustment(mode="shadow")),
    "promote": lambda s: service.promote(s, REA, "pitch", "good"),
    "rollback": lambda s: service.roll_back(s, REA.id, "pitch", "bad"),
    "retire": lambda s: service.retire(s, REA, "pitch", "old"),
    "give up 2": lambda s: service.give_up(s, "pitch", "2", "crashed"),
    "give up 3": lambda s: service.give_up(s, "pitch", "3", "crashed"),
    "adopt": lambda s: service.adopt(s, "pitch", "3", None, 0, "2", "1"),
}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moves=st.lists(st.sampled_from(sorted(MOVES)), min_size=3, max_size=12),
    warm=st.sets(st.sampled_from("23")),
)
async def test_whatever_is_done_in_whatever_order_somebody_answers_and_all_is_told(
    platform: Services, moves: list[str], warm: set[str]
) -> None:
    await clean(platform)
    await serve(platform, warm="1" + "".join(sorted(warm)))

    done = 0
    for move in moves:
        before = await wish(platform)
        try:
            async with platform.transaction() as session:
                await MOVES[move](session)
        except AppError:
            assert shown(await wish(platform)) == shown(before)
            continue
        after = await wish(platform)
        done += after.generation - before.generation
        now = Route.model_validate(after.route)
        assert now.champion in now.hosts
        assert now.percent.keys() <= {after.challenger}
        assert not (after.challenger and after.shadow) or move == "adopt"
        parts = [after.champion, after.challenger, after.shadow]
        assert len({p for p in parts if p}) == len([p for p in parts if p])

    async with platform.transaction() as session:
        told, _ = await service.history(session, "pitch", 100, None)
    assert len(told) == done == len(await audited(platform))


def shown(row: Rollout) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in Rollout.__table__.columns}
