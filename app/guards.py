"""Guards: what each route asks for, read from its dependencies; none may ask for nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from app.admission import COUNTED
from app.dependencies import Allowed
from app.permissions import PUBLIC, Permission

CREATED = (201, 202)
OPERATION = "vocality.operation"  # in the scope of a request, once it has come in


class Unguarded(Exception):
    """A route that anybody could use: the platform does not start with it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A route by its operation id."""

    name: str
    methods: frozenset[str]  # none: a WebSocket
    path: re.Pattern[str]
    permissions: frozenset[Permission]
    creates: bool
    route: RouteContext

    @property
    def repeatable(self) -> bool:
        """Whether it honours an Idempotency-Key: those are counted by user."""
        return self.creates and bool(self.permissions)

    @property
    def counted(self) -> bool:
        """Whether one can be told that it is too often."""
        return self.path.pattern.lstrip("^").startswith(COUNTED)


def operations(app: FastAPI) -> tuple[Operation, ...]:
    """Every route of the app. Raises Unguarded."""
    found = tuple(_operation(route) for route in iter_route_contexts(app.routes))
    if bare := [each.name for each in found if not each.permissions and each.name not in PUBLIC]:
        raise Unguarded(
            f"{', '.join(bare)}: state a permission by an alias of app.dependencies, "
            "or a reason in app.permissions.PUBLIC."
        )
    return found


def _operation(route: RouteContext) -> Operation:
    methods = frozenset(route.methods or ())
    status = getattr(route, "status_code", None)
    return Operation(
        name=str(route.name),
        methods=methods,
        path=route.path_regex,
        permissions=frozenset(_asked(getattr(route, "dependant", None))),
        creates="POST" in methods and status in CREATED,
        route=route,
    )


def _asked(dependant: Dependant | None) -> Iterator[Permission]:
    if dependant is None:
        return
    if isinstance(dependant.call, Allowed):
        yield dependant.call.permission
    for needed in dependant.dependencies:
        yield from _asked(needed)
