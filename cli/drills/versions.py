"""The versions that are rolled out in drills: one that is sound, and one for each way to fail."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from deployments.faults import Fault
from models import registry_server, weights
from models.registry_publishing import register as publish
from models.results import Family, schema_digest

FAMILY: Family = "pitch"
FAULTS: Mapping[str, Fault | None] = {
    "2": None,
    "3": "crash",
    "4": "hang",
    "5": "not_finite",
    "6": "raise",
    "7": "slow",
}
READY_S = 120


def register(registry: str) -> None:
    """Version 1, the shipped weights with a hair's difference, comes 2 to 7 times more."""
    os.environ["MLFLOW_TRACKING_URI"] = registry
    _await_shipped(registry)
    for version, fault in FAULTS.items():
        made = _publish(int(version))
        if made != version:
            raise RuntimeError(f"The registry called version {version} {made}.")
        if fault:
            _tell(version, fault)


def _tell(version: str, fault: Fault) -> None:
    """What the version is to do to those who ask it."""
    registry_server.ask(
        f"models:/{FAMILY}",
        lambda client: client.set_model_version_tag(FAMILY, version, "drill.fault", fault),
        registry_server.LOOK,
    )


def await_known(client: httpx2.Client) -> None:
    """Until the platform has seen them all."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        items = client.get("/v1/models").raise_for_status().json()["items"]
        known = {v["version"] for i in items if i["family"] == FAMILY for v in i["versions"]}
        if known >= FAULTS.keys():
            return
        time.sleep(0.5)
    raise TimeoutError(f"The platform knows only versions {sorted(known)} of {FAMILY}.")


def _await_shipped(registry: str) -> None:
    """The platform registers what it ships as soon as MLflow is up."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            registry_server.ask(
                registry, lambda c: c.get_model_version(FAMILY, "1"), registry_server.LOOK
            )
            return
        except registry_server.RegistryUnavailable:
            time.sleep(1.0)
    raise TimeoutError(f"The registry at {registry} has no version 1 of {FAMILY}.")


def _publish(number: int) -> str:
    shipped = weights.load(FAMILY, "1")
    tensors = {name: tensor.clone() for name, tensor in shipped.tensors.items()}
    first = next(tensor for tensor in tensors.values() if tensor.is_floating_point())
    first.flatten()[0] += 1e-6 * number  # another digest, the same ears
    with TemporaryDirectory() as folder:
        made = weights.save(
            FAMILY,
            str(number),
            tensors,
            licence=shipped.version.licence,
            metadata=shipped.metadata,
            card="For a drill.",
            folder=Path(folder),
        )
        return publish(
            FAMILY,
            Path(folder) / f"{FAMILY}-{number}.safetensors",
            sha256=made.sha256,
            licence=made.licence,
            gate="passed",
            gate_reason=None,
            schema_digest=schema_digest(FAMILY),
            memory_bytes=1_000_000,
            metrics={},
            profile={},
            card="For a drill.",
            run_id=None,
            code_digest="",
            data_digest="",
        )
