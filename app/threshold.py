"""The threshold: who may not come in is told so before anything of a body is read."""

from collections.abc import Sequence

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from app.admission import admit, limit_unknown
from app.errors import AppError
from app.guards import OPERATION, Operation
from app.permissions import require
from app.problems import render


class Threshold:
    """ASGI middleware. FastAPI reads a body first and asks who sends it afterwards: anybody could
    fill the disk with uploads, or learn from a 400 how a route reads."""

    def __init__(self, app: ASGIApp, operations: Sequence[Operation]) -> None:
        self.app = app
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._asked(scope)
        try:
            if operation is not None:
                scope[OPERATION] = operation
                scope["route"] = operation.route  # for the log: no router has seen it yet
                await _enter(HTTPConnection(scope), operation)
        except AppError as error:
            request_id = scope.get("state", {}).get("request_id")
            problem = render(error, path=scope["path"], request_id=request_id)
            await problem(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _asked(self, scope: Scope) -> Operation | None:
        if scope["type"] != "http":
            return None
        method, path = scope["method"], scope["path"]
        fitting = (each for each in self._operations if method in each.methods)
        # As the router does: what it lets through and this does not would come in uncounted.
        return next((each for each in fitting if each.path.match(path)), None)


async def _enter(connection: HTTPConnection, operation: Operation) -> None:
    await limit_unknown(connection, operation.name)
    if not operation.permissions:
        return
    user = await admit(connection, operation.name)
    for permission in operation.permissions:
        require(user, permission)
