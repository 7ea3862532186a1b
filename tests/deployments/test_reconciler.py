"""From wish to running applications: in order, and to the same end wherever it dies."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from app.rollouts import service
from app.rollouts.routing import Route
from app.rollouts.schemas import Adjustment, RolloutIn
from app.security import Role, User
from app.services import Services
from app.tables import Gate, ModelVersion, Rollout
from deployments import operating
from deployments.operating import Operator
from deployments.reconciler import Plan, Status, Step, Wish
from models.results import Family, schema_digest

LEAD = User("usr_lead", frozenset({Role.researcher}))
FIXED: dict[Family, dict[str, str]] = {"pitch": {"1": "analyzers"}}


class Died(Exception):
    """What a kill looks like from inside."""


class ServeAsWeKnowIt:
    """Applications come up one look after they were asked for, unless they are told to fail."""

    def __init__(self) -> None:
        self.live: dict[str, Status] = {"analyzers": "running"}
        self.failing: set[str] = set()
        self.done: list[str] = []

    async def statuses(self) -> Mapping[str, Status]:
        seen = dict(self.live)
        for name, status in self.live.items():
            if status == "starting":
                self.live[name] = "failed" if name in self.failing else "running"
        return seen

    async def create(self, family: Family, version: str, name: str, *, trusted: bool) -> None:
        self.live.setdefault(name, "starting")
        self.done.append(f"create {name}")

    async def delete(self, name: str) -> None:
        self.live.pop(name, None)
        self.done.append(f"delete {name}")

    def why(self, name: str) -> str:
        return "told to crash"


@dataclass
class Mortal(Operator):
    """Dies at its n-th step of whatever kind: before it for even n, after it for odd ones."""

    dies_at: int | None = None

    async def _take(self, wish: Wish, step: Step) -> None:
        if self.dies_at == 0:
            raise Died(step)
        await super()._take(wish, step)
        if self.dies_at == 1:
            raise Died(step)
        if self.dies_at is not None:
            self.dies_at -= 2


@pytest.fixture(autouse=True)
async def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.reconciler.DRAIN_S", 0.0)


@pytest.fixture
async def rollout(platform: Services) -> Services:
    """Pitch has version 1, which answers, and 2 and 3, which nobody knows."""
    async with platform.transaction() as session:
        session.add_all(_version(version) for version in "123")
        route = Route(champion="1", hosts={"1": "analyzers"}).model_dump()
        session.add(Rollout(family="pitch", champion="1", route=route))
    return platform


def _version(version: str) -> ModelVersion:
    return ModelVersion(
        family="pitch",
        version=version,
        sha256=version * 64,
        licence="Apache-2.0",
        gate=Gate.passed,
        schema_digest=schema_digest("pitch"),
        memory_bytes=1,
    )


async def settle(
    services: Services, fleet: ServeAsWeKnowIt, operator: Mortal | None = None
) -> Route:
    """Reconcile until nothing is to do, by a new operator after each death."""
    quiet = 0
    operator = operator or an_operator(services, fleet)
    while quiet < 2:
        try:
            busy = await operator.reconcile() or "starting" in fleet.live.values()
            quiet = 0 if busy else quiet + 1
        except Died:
            operator = an_operator(services, fleet)
    async with services.transaction() as session:
        return Route.model_validate((await service.get(session, "pitch")).route)


def an_operator(services: Services, fleet: ServeAsWeKnowIt, dies_at: int | None = None) -> Mortal:
    return Mortal(services, fleet, Plan(FIXED), ("pitch",), dies_at)


async def begin(services: Services, version: str = "2", percent: float = 10) -> None:
    async with services.transaction() as session:
        asked = RolloutIn(family="pitch", version=version, percent=percent)
        await service.start(session, LEAD, asked)


async def test_a_version_is_warm_before_it_gets_traffic_and_drained_before_it_ends(
    rollout: Services,
) -> None:
    fleet = ServeAsWeKnowIt()
    await begin(rollout)

    canary = await settle(rollout, fleet)
    async with rollout.transaction() as session:
        await service.roll_back(session, LEAD.id, "pitch", "enough seen")
    back = await settle(rollout, fleet)

    assert canary.percent == {"2": 10.0}
    assert canary.hosts == {"1": "analyzers", "2": "pitch--v2"}
    assert back == Route(champion="1", hosts={"1": "analyzers"})
    assert fleet.done == ["create pitch--v2", "delete pitch--v2"]


async def test_a_champion_that_is_replaced_stays_warm_until_it_is_retired(
    rollout: Services,
) -> None:
    fleet = ServeAsWeKnowIt()
    await begin(rollout)
    await settle(rollout, fleet)

    async with rollout.transaction() as session:
        await service.promote(session, LEAD, "pitch", "better")
    promoted = await settle(rollout, fleet)
    async with rollout.transaction() as session:
        await service.roll_back(session, LEAD.id, "pitch", "worse after all")
    back = await settle(rollout, fleet)
    async with rollout.transaction() as session:
        await service.retire(session, LEAD, "pitch", "done with it")
    await settle(rollout, fleet)

    assert (promoted.champion, back.champion) == ("2", "1")
    assert back.hosts.keys() == {"1", "2"}
    assert fleet.live == {"analyzers": "running"}


@pytest.mark.parametrize("step", range(8))
async def test_wherever_it_dies_the_end_is_the_same(rollout: Services, step: int) -> None:
    fleet = ServeAsWeKnowIt()
    operator = an_operator(rollout, fleet, dies_at=step)  # create, reroute, reroute, delete

    await begin(rollout)
    await settle(rollout, fleet, operator)
    async with rollout.transaction() as session:
        await service.roll_back(session, LEAD.id, "pitch", "another instead")
        await service.start(session, LEAD, RolloutIn(family="pitch", version="3", percent=50))
    await settle(rollout, fleet, operator)
    async with rollout.transaction() as session:
        await service.promote(session, LEAD, "pitch", "better")
        await service.retire(session, LEAD, "pitch", "sure of it")
    end = await settle(rollout, fleet, operator)

    assert operator.dies_at in (0, 1)
    assert end == Route(champion="3", hosts={"3": "pitch--v3"})
    assert fleet.live == {"analyzers": "running", "pitch--v3": "running"}


async def test_a_version_that_does_not_start_is_given_up_and_history_says_why(
    rollout: Services,
) -> None:
    fleet = ServeAsWeKnowIt()
    fleet.failing.add("pitch--v2")
    await begin(rollout)

    route = await settle(rollout, fleet)

    assert route == Route(champion="1", hosts={"1": "analyzers"})
    assert "pitch--v2" not in fleet.live
    async with rollout.transaction() as session:
        [latest, _] = (await service.history(session, "pitch", 10, None))[0]
    assert (latest.action, latest.reason) == ("give_up", "told to crash")


async def test_what_somebody_changed_meanwhile_is_not_undone(rollout: Services) -> None:
    fleet = ServeAsWeKnowIt()
    await begin(rollout)
    operator = an_operator(rollout, fleet)
    await operator.reconcile()
    async with rollout.transaction() as session:
        [wish] = await operating._wishes(session)
        await service.adjust(session, LEAD, "pitch", Adjustment(percent=0))

    fleet.live["pitch--v2"] = "running"
    [stale] = operator.plan.steps(wish, fleet.live, {})
    await operator._take(wish, stale)

    async with rollout.transaction() as session:
        assert (await service.get(session, "pitch")).route["percent"] == {}
