"""The HTTP door: the app's FastAPI as a Serve ingress, with the conductor and the worker behind."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.handle import DeploymentHandle

from app.main import create_app
from app.rollouts.routing import Route
from app.services import open_services
from app.settings import settings
from deployments import profiles
from deployments.conductor import Conductor
from deployments.placement import Placement, deploy
from deployments.reconciler import own_application
from deployments.remote import RemoteAnalyzer
from deployments.worker import Worker
from models.results import Family


class PlatformSpec(BaseModel):
    """The door, the conductor and the worker: where each runs, and who answers for a family."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: str = Field(description="The file that says how hosts are placed.")
    routes: dict[Family, Route]
    api: Placement = Placement()
    conductor: Placement = Placement()
    worker: Placement = Placement()


@serve.ingress()
class Api:
    """The FastAPI application is made in the replica: engines and locks need no pickling."""

    async def __init__(  # type: ignore[misc]
        self,
        conductor: DeploymentHandle[Conductor],
        worker: DeploymentHandle[
            Worker
        ],  # never called: bound so that it is deployed with the door
    ) -> None:
        self._stack = AsyncExitStack()
        opening = open_services(settings(), RemoteAnalyzer(conductor))
        self._services = await self._stack.enter_async_context(opening)

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = create_app(self._services, answers_id=False)
        app.router.lifespan_context = self._lifespan
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        yield
        await self._stack.aclose()


def build(spec: PlatformSpec) -> serve.Application:
    conductor = deploy(Conductor, spec.conductor).bind(spec.routes)
    templates = profiles.templates(profiles.read(spec.profile), spec.routes)
    worker = deploy(Worker, spec.worker).bind(conductor, templates, fixed(spec.routes))
    return deploy(Api, spec.api).bind(conductor, worker)


def fixed(routes: Mapping[Family, Route]) -> dict[Family, dict[str, str]]:
    """Hosts of the profile that are not one version's own: no rollout makes or ends them."""
    return {
        family: {v: host for v, host in route.hosts.items() if host != own_application(family, v)}
        for family, route in routes.items()
    }
