"""The application: any set of services behind one door."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from app import audit, guards, health, problems
from app import document as openapi
from app.analyses import routes as analyses
from app.coaching import routes as coaching
from app.headers import Cors, SafeHeaders
from app.idempotency import Idempotency
from app.jobs import routes as jobs
from app.limits import Bodies
from app.recordings import routes as recordings
from app.rollouts import routes as rollouts
from app.services import Services
from app.settings import MiB, Settings
from app.telemetry import Telemetry
from app.threshold import Threshold
from app.users import links
from app.users import routes as users
from app.users.factors import routes as factors
from app.users.keys import routes as keys
from app.users.me import routes as me
from app.users.outside import routes as outside
from app.users.people import routes as people

Routers = Sequence[tuple[APIRouter, int]]  # and the largest body each takes, in bytes

FORM_OVERHEAD = MiB  # multipart boundaries and text fields around a file
JSON_BODY = MiB


def routers(settings: Settings) -> Routers:
    """Every service. A process may serve fewer."""
    return (
        (health.router, 0),
        (analyses.one_shot, settings.max_one_shot_bytes + FORM_OVERHEAD),
        (analyses.router, JSON_BODY),
        (analyses.streams, 0),
        (recordings.uploads, settings.max_upload_bytes + FORM_OVERHEAD),
        (recordings.router, JSON_BODY),
        (rollouts.models, 0),
        (rollouts.router, JSON_BODY),
        (rollouts.streams, 0),
        (jobs.router, JSON_BODY),
        (jobs.streams, 0),
        (audit.router, 0),
        (users.auth, JSON_BODY),
        (users.mine, JSON_BODY),
        (users.known, 0),
        (links.router, 0),
        (keys.mine, JSON_BODY),
        (keys.of_services, JSON_BODY),
        (people.router, JSON_BODY),
        (people.services, JSON_BODY),
        (coaching.router, JSON_BODY),
        (factors.router, JSON_BODY),
        (factors.steps, JSON_BODY),
        (outside.router, JSON_BODY),
        (outside.steps, JSON_BODY),
        (me.router, JSON_BODY),
    )


def create_app(
    services: Services, served: Routers | None = None, *, answers_id: bool = True
) -> FastAPI:
    """The door to these services. Whoever made them listens to their news and closes them.

    `answers_id`: whether X-Request-Id is ours to answer; Ray Serve does it by itself.
    """
    settings = services.settings
    app = _routed(routers(settings) if served is None else served)
    app.state.services = services
    problems.install(app)
    _guard(app, services)
    app.add_middleware(Bodies, timeout_s=settings.body_timeout_s)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(SafeHeaders, by_https=(settings.public_url or "").startswith("https:"))
    app.add_middleware(Telemetry, metrics=services.metrics, answers_id=answers_id)
    return app


def document(settings: Settings) -> dict[str, Any]:
    """What every service promises, as OpenAPI."""
    return openapi.of(_routed(routers(settings)))


def _routed(served: Routers) -> FastAPI:
    app = FastAPI(
        title="Nexus Vocality",
        version="1",
        summary="Voice analysis: pitch, timbre, expression, clarity, prosody, fluency, words.",
        generate_unique_id_function=_operation_id,
    )
    for router, max_body in served:
        app.include_router(router, max_body_size=max_body)
    app.openapi = lambda: _remembered(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _guard(app: FastAPI, services: Services) -> None:
    """Nothing starts that has a route for everybody."""
    most_bytes = services.settings.max_upload_bytes + FORM_OVERHEAD
    app.add_middleware(Idempotency, services=services, most_bytes=most_bytes)
    app.add_middleware(Threshold, operations=guards.operations(app))


def _remembered(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = openapi.of(app)
    return app.openapi_schema
