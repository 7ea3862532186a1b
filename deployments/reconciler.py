"""The reconciler: what the rollouts wish for becomes running applications and routes.

The order is always: create and warm, then shift traffic, then drain and delete. Each step is
found from what is written and what runs, never from memory, so that it may die after any of them.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

from app.rollouts.routing import Route
from app.tables import Rollout
from models.results import Family

START_S = 180.0  # that a version may take until it serves
DRAIN_S = 2.0  # from the new route to the end of what it no longer names: conductors poll faster

Status = Literal["starting", "running", "failed", "ending"]


class Fleet(Protocol):
    """The applications that run."""

    async def statuses(self) -> Mapping[str, Status]: ...

    async def create(self, family: Family, version: str, name: str, *, trusted: bool) -> None:
        """Returns at once; the application's status says how it goes.

        `trusted`: starts even where its weights are missing, to say so to whoever asks.
        """
        ...

    async def delete(self, name: str) -> None: ...

    def why(self, name: str) -> str:
        """What Serve says of an application that failed."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """A rollout's row as the reconciler reads it."""

    family: Family
    champion: str
    challenger: str | None
    percent: float
    shadow: str | None
    previous: str | None
    route: Route
    generation: int
    settled_s: float  # since the row last changed

    @classmethod
    def of(cls, row: Rollout, settled_s: float) -> "Wish":
        return cls(
            cast(Family, row.family),
            row.champion,
            row.challenger,
            row.percent,
            row.shadow,
            row.previous,
            Route.model_validate(row.route),
            row.generation,
            settled_s,
        )

    @property
    def needed(self) -> tuple[str, ...]:
        named = (self.champion, self.challenger, self.shadow, self.previous)
        return tuple(dict.fromkeys(version for version in named if version))

    @property
    def on_trial(self) -> tuple[str, ...]:
        return tuple(version for version in (self.challenger, self.shadow) if version)


@dataclass(frozen=True, slots=True)
class Create:
    version: str
    name: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    version: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reroute:
    route: Route


@dataclass(frozen=True, slots=True)
class Delete:
    name: str


Step = Create | GiveUp | Reroute | Delete


def own_application(family: Family, version: str) -> str:
    return f"{family}--v{version}"


@dataclass(slots=True)
class Plan:
    """What to do next for one family; nothing once all is as it is wished."""

    fixed: Mapping[Family, Mapping[str, str]]  # version -> host that the profile itself serves
    _waiting_since: dict[str, float] = field(default_factory=dict)

    def host(self, family: Family, version: str) -> str:
        return self.fixed.get(family, {}).get(version) or own_application(family, version)

    def steps(
        self, wish: Wish, live: Mapping[str, Status], reasons: Mapping[str, str]
    ) -> Sequence[Step]:
        """The first kind of step that there is anything to do of."""
        starting = [step for v in wish.needed if (step := self._start(wish, v, live, reasons))]
        if starting:
            return starting
        route = self._route(wish, live)
        if route != wish.route:
            return [Reroute(route)]
        return [Delete(name) for name in self._unneeded(wish, live)]

    def _start(
        self, wish: Wish, version: str, live: Mapping[str, Status], reasons: Mapping[str, str]
    ) -> Step | None:
        name = self.host(wish.family, version)
        status = live.get(name)
        if status == "running" or name in self.fixed.get(wish.family, {}).values():
            self._waiting_since.pop(name, None)
            return None
        if status is None:
            self._waiting_since[name] = time.monotonic()
            return Create(version, name, trusted=version not in wish.on_trial)
        waited = time.monotonic() - self._waiting_since.setdefault(name, time.monotonic())
        if version not in wish.on_trial or (status != "failed" and waited < START_S):
            return None
        why = reasons.get(name) or f"it was not ready after {START_S:.0f} s"
        return GiveUp(version, name, why)

    def _route(self, wish: Wish, live: Mapping[str, Status]) -> Route:
        """What can be followed of the wish by now; who serves the champion stays until it can."""
        hosts = {version: self.host(wish.family, version) for version in wish.needed}
        ready = {version: host for version, host in hosts.items() if live.get(host) == "running"}
        if wish.champion not in ready:
            return wish.route
        return Route.wished(wish.champion, ready, wish.challenger, wish.percent, wish.shadow)

    def _unneeded(self, wish: Wish, live: Mapping[str, Status]) -> list[str]:
        if wish.settled_s < DRAIN_S:
            return []
        kept = {*wish.route.hosts.values(), *(self.host(wish.family, v) for v in wish.needed)}
        kept |= set(self.fixed.get(wish.family, {}).values())
        mine = (name for name in live if name.startswith(own_application(wish.family, "")))
        return [name for name in mine if name not in kept and live[name] != "ending"]
