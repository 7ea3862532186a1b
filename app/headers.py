"""Headers that every answer carries: what a browser must not do with it, and what is left of the
rate limits."""

from collections.abc import Mapping, Sequence
from math import ceil

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BadRequest
from app.problems import render
from app.ratelimits import SPENT, Spent

NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
DOCS = (  # FastAPI's own pages
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; connect-src 'self'; "
    "script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; worker-src blob:; "
    "img-src data: https://fastapi.tiangolo.com https://cdn.redoc.ly"
)
_PAGES = ("/docs", "/redoc")
_ALWAYS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}
_HSTS = "max-age=63072000; includeSubDomains"  # two years


class SafeHeaders:
    """ASGI middleware. What a route has set stays."""

    def __init__(self, app: ASGIApp, *, by_https: bool) -> None:
        self.app = app
        self._always = {**_ALWAYS, **({"Strict-Transport-Security": _HSTS} if by_https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**self._always, **_of(scope)}.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, sending)


def _of(scope: Scope) -> dict[str, str]:
    found = {"Content-Security-Policy": DOCS if scope["path"].startswith(_PAGES) else NOTHING}
    if scope["path"].startswith("/v1/"):
        found["Cache-Control"] = "no-store"  # it is somebody's
    return {**found, **_of_limits(scope.get(SPENT, ()))}


def _of_limits(spent: Sequence[Spent]) -> dict[str, str]:
    """draft-ietf-httpapi-ratelimit-headers-10."""
    if not spent:
        return {}
    policies = (f'"{each.policy.name}";q={each.amount};w={each.policy.window_s}' for each in spent)
    left = (f'"{each.policy.name}";r={each.remaining};t={ceil(each.reset_s)}' for each in spent)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


class Cors(CORSMiddleware):
    """Pages of listed origins may call; tokens travel in a header, so cookies are never needed."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
                "Last-Event-ID",
                "Range",
                "X-Request-Id",
                "traceparent",
            ),
            expose_headers=(
                "ETag",
                "Location",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "X-Request-Id",
                "Idempotency-Replayed",
            ),
            max_age=3600,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        problem = BadRequest("Pages of this origin may not do that here.", code="cors_refused")
        return render(problem, path="*", request_id=None)
