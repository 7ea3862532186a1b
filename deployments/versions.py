"""The version table: the routes in effect, and a handle to every host that they name."""

from collections.abc import Callable, Mapping

from ray.serve.handle import DeploymentHandle

from app.rollouts.routing import Route
from deployments.host import AnalyzerHost
from models.results import Family

Handle = DeploymentHandle[AnalyzerHost]
Connect = Callable[[str], Handle]  # Serve application -> its host


class VersionTable:
    """Handles are made once and kept: each one costs the controller memory."""

    def __init__(self, routes: Mapping[Family, Route], connect: Connect) -> None:
        self._routes = dict(routes)
        self._connect = connect
        self._handles: dict[str, Handle] = {}

    def __contains__(self, family: Family) -> bool:
        return family in self._routes

    def route(self, family: Family) -> Route:
        return self._routes[family]

    def choose(self, family: Family, user: str) -> str:
        return self._routes[family].choose(family, user)

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

    def update(self, routes: Mapping[Family, Route]) -> None:
        """New routes of families that are served here; the others keep theirs."""
        known = {family: route for family, route in routes.items() if family in self._routes}
        if any(self._routes[family] != route for family, route in known.items()):
            self.replace(self._routes | known)
