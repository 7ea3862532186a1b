"""The version table: which version of a family answers whom, and where that version runs."""

import hashlib
from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray.serve.handle import DeploymentHandle

from deployments.host import AnalyzerHost
from models.results import Family

Handle = DeploymentHandle[AnalyzerHost]
Connect = Callable[[str], Handle]  # Serve application -> its host


class Route(BaseModel):
    """One family's versions: where each runs, and its share of the singers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    champion: str
    hosts: dict[str, str] = Field(description="Version to Serve application.")
    percent: dict[str, float] = Field(
        default={}, description="Share of each version but the champion, which takes the rest."
    )

    @model_validator(mode="after")
    def _complete(self) -> "Route":
        if homeless := {self.champion, *self.percent} - self.hosts.keys():
            raise ValueError(f"no host is named for version {', '.join(sorted(homeless))}")
        if self.champion in self.percent or sum(self.percent.values()) > 100:
            raise ValueError("percent names the versions beside the champion, 100 at most in all")
        if any(share < 0 for share in self.percent.values()):
            raise ValueError("a share is not below 0")
        return self


class VersionTable:
    """Handles are made once and kept: each one costs the controller memory."""

    def __init__(self, routes: Mapping[Family, Route], connect: Connect) -> None:
        self._routes = dict(routes)
        self._connect = connect
        self._handles: dict[str, Handle] = {}

    def __contains__(self, family: Family) -> bool:
        return family in self._routes

    def choose(self, family: Family, user: str) -> str:
        """The version for this singer. Sticky; raising a share only ever adds singers to it.

        Shares are laid out on [0, 100) with the champion last, so that a challenger's
        stretch grows at its end and nobody who was on it leaves.
        """
        route = self._routes[family]
        point = 100 * _point(f"{family}:{user}")
        for version, percent in sorted(route.percent.items()):
            point -= percent
            if point < 0:
                return version
        return route.champion

    def application_of(self, family: Family, version: str) -> str:
        return self._routes[family].hosts[version]

    def handle_for(self, family: Family, version: str) -> Handle:
        return self.handle_of(self.application_of(family, version))

    def handle_of(self, application: str) -> Handle:
        if application not in self._handles:
            self._handles[application] = self._connect(application)
        return self._handles[application]

    def replace(self, routes: Mapping[Family, Route]) -> None:
        """A new table, in effect from the next request on."""
        self._routes = dict(routes)
        for gone in self._handles.keys() - {a for r in routes.values() for a in r.hosts.values()}:
            del self._handles[gone]


def _point(key: str) -> float:
    """A fixed point in [0, 1) for the key."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
