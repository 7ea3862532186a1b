"""How a deployment sits on the machines: safe router settings, surge upgrades, backpressure.

Ray Serve's defaults collapse when more requests arrive than replicas take at once: the router
backs off exponentially while replicas idle. These settings keep the line inside the replica.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, RequestRouterConfig

ROUTER = RequestRouterConfig.model_validate(
    {"initial_backoff_s": 0.005, "backoff_multiplier": 1.5, "max_backoff_s": 0.02}
)


class Placement(BaseModel):
    """Where a deployment runs and how far it scales."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_cpus: float = 0.1  # admission only
    num_gpus: float = 0
    labels: dict[str, str] = {}
    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    target_ongoing: float = 16
    max_ongoing: int = 1000  # the line is inside the replica, where it is in order
    max_queued: int = 2000
    drain_s: float = 120  # for requests in hand; queued work comes again when its lease ends


def deploy(cls: type, placement: Placement, **options: Any) -> serve.Deployment:  # noqa: ANN401
    """The class as a deployment that stays calm under load."""
    actor: dict[str, Any] = {"num_cpus": placement.num_cpus, "num_gpus": placement.num_gpus}
    if placement.labels:
        actor["label_selector"] = placement.labels
    decorate = serve.deployment(
        ray_actor_options=actor,
        max_ongoing_requests=placement.max_ongoing,
        max_queued_requests=placement.max_queued,
        max_surge_percent=100,
        request_router_config=ROUTER,
        graceful_shutdown_timeout_s=placement.drain_s,
        graceful_shutdown_wait_loop_s=0.2,
        max_constructor_retry_count=3,
        **_replicas(placement),
        **options,
    )
    return decorate(cls)


def _replicas(placement: Placement) -> dict[str, Any]:
    if placement.min_replicas == placement.max_replicas:
        return {"num_replicas": placement.min_replicas}
    scaling = AutoscalingConfig(
        min_replicas=placement.min_replicas,
        max_replicas=placement.max_replicas,
        target_ongoing_requests=placement.target_ongoing,
        upscale_delay_s=2,
        look_back_period_s=10,
        downscale_delay_s=120,
    )
    return {"autoscaling_config": scaling}
