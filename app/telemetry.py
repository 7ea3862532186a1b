"""Telemetry: one structured line and a few numbers a request, one id through all of it."""

import logging
import re
import sys
from dataclasses import dataclass, field
from time import perf_counter

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import ids, tracing
from app.redaction import redact
from models.graph import FAMILIES
from models.results import Analysis

REQUEST_ID = "X-Request-Id"
USER = "vocality.user"  # in the scope, once the request is admitted
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._~-]{1,64}")  # what a client may choose as its request id
_QUIET = ("/healthz", "/readyz", "/metrics")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

log = structlog.get_logger("access")


@dataclass(slots=True)
class Metrics:
    """This process's numbers; each set of services has its own registry."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    latency: Histogram = field(init=False)
    rate_limited: Counter = field(init=False)
    family_seconds: Histogram = field(init=False)
    analyses: Gauge = field(init=False)
    oldest_queued: Gauge = field(init=False)
    result_takes: Gauge = field(init=False)
    result_mean: Gauge = field(init=False)
    result_shift: Gauge = field(init=False)

    def __post_init__(self) -> None:
        by_route = ("method", "route")
        self.requests = Counter(
            "vocality_requests",
            "Requests answered.",
            (*by_route, "status"),
            registry=self.registry,
        )
        self.latency = Histogram(
            "vocality_request_seconds",
            "Seconds to the end of the answer.",
            by_route,
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.rate_limited = Counter(
            "vocality_rate_limited",
            "Requests refused since they came too often.",
            ("policy",),
            registry=self.registry,
        )
        self.family_seconds = Histogram(
            "vocality_family_seconds",
            "Seconds of wall time a family took for one take.",
            ("family",),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.analyses = Gauge(
            "vocality_analyses", "Analyses by state.", ("state",), registry=self.registry
        )
        self.oldest_queued = Gauge(
            "vocality_queue_age_seconds",
            "Age of the analysis that has waited longest.",
            registry=self.registry,
        )
        self.result_takes = Gauge(
            "vocality_result_takes",
            "Takes a version answered within the latest 24 hours.",
            ("family", "version"),
            registry=self.registry,
        )
        self.result_mean = Gauge(
            "vocality_result_mean",
            "Mean of a measure over those takes (served), and on the version's own material "
            "(training); `confidence` is the mean of the measures' confidences.",
            ("family", "version", "measure", "of"),
            registry=self.registry,
        )
        self.result_shift = Gauge(
            "vocality_result_psi",
            "Population stability index of the served takes against the version's own material: "
            "under 0.1 the same, over 0.25 another population.",
            ("family", "version", "measure"),
            registry=self.registry,
        )

    @property
    def of_the_database(self) -> tuple[Gauge, ...]:
        return self.analyses, self.result_takes, self.result_mean, self.result_shift

    def observe(self, analysis: Analysis) -> None:
        for family in FAMILIES:
            if family in analysis.timing:
                self.family_seconds.labels(family).observe(analysis.timing[family])


class Telemetry:
    """ASGI middleware: gives the request its id, and says afterwards how it went."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, answers_id: bool = True) -> None:
        self.app = app
        self.metrics = metrics
        self.answers_id = answers_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, trace = _request_id(scope), tracing.of(Headers(scope=scope))
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, answers_id=self.answers_id)
        status, started = 500, perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[tracing.TRACERESPONSE] = str(trace)
                if self.answers_id:
                    headers[REQUEST_ID] = request_id
            await send(message)

        bound = {"request_id": request_id, "trace_id": trace.trace_id}
        with structlog.contextvars.bound_contextvars(**bound):
            try:
                await self.app(scope, receive, sending)
            finally:
                self._record(scope, status, perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = _template(scope)
        self.metrics.requests.labels(scope["method"], route, str(status)).inc()
        self.metrics.latency.labels(scope["method"], route).observe(seconds)
        if scope["path"] in _QUIET and status < 400:
            return
        # The query is left out: it may carry a signature or a token.
        log.info(
            "request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            user=getattr(scope.get(USER), "id", None),
            ms=round(seconds * 1000, 1),
        )


def _request_id(scope: Scope) -> str:
    asked = Headers(scope=scope).get(REQUEST_ID, "")
    return asked if _ACCEPTABLE.fullmatch(asked) else ids.new("req")


def _template(scope: Scope) -> str:
    """The route's path with its parameters' names: a label with few values."""
    return getattr(scope.get("route"), "path", "unmatched")


def configure_logging(as_json: bool) -> None:
    """One line an event on standard error. Values are escaped, so a line stays one line."""
    renderer = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
