"""Starts the platform from a profile: Ray, Serve's door, and every application of the file."""

import asyncio
import io
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path

import ray
from ray import serve

from app.settings import Settings
from deployments import profiles, restoring
from models.graph import FAMILIES

LONGEST_SOCKET_FOLDER = 40  # characters: Ray's sockets below it must fit in 107
OBJECT_STORE = 300 * 1024 * 1024  # bytes
# For every process of our own Ray: engines set their threads themselves, and malloc's arenas,
# eight a core by default, keep what large batches leave behind.
LEAN = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


def connect(settings: Settings, environment: Mapping[str, str]) -> None:
    """Join the cluster that RAY_ADDRESS names, or start Ray on this machine."""
    if settings.ray_address:
        _join(settings.ray_address, environment)
    else:
        _start_ray(settings.home)


def serve_profile(name: str, settings: Settings) -> None:
    """Serve the profile's applications; returns when every replica is ready."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    profile = profiles.read(name)
    chosen = settings.model_dump(include={"host", "port"} & settings.model_fields_set)
    door = profile.http_options | chosen
    serve.start(
        proxy_location=profile.proxy_location,
        http_options=door,
        logging_config=profile.logging_config or {"log_level": "WARNING"},
    )
    wanted = profiles.applications(profile, settings)
    if settings.database_url:
        wanted = asyncio.run(restoring.restored(profile, wanted, settings))
    serve.run_many([serve.RunTarget(a.build(), a.name, a.route_prefix) for a in wanted])


def stop(name: str, settings: Settings) -> None:
    """The door ends first, when it has answered what it holds, and then those it asks.

    On a cluster that others use, only ours ends.
    """
    profile = profiles.read(name)
    ours = [application.name for application in reversed(profile.applications)]
    versions = tuple(f"{family}--v" for family in FAMILIES)
    running = serve.status().applications
    ours += [one for one in running if one.startswith(versions) and one not in ours]
    for one in ours:
        if one in running:
            with suppress(TimeoutError):  # it goes on ending by itself
                serve.delete(one)
    with redirect_stdout(io.StringIO()):  # Ray prints the controller's own end as an error
        if not settings.ray_address:
            serve.shutdown()
        ray.shutdown()


def _join(address: str, environment: Mapping[str, str]) -> None:
    root = str(Path(__file__).resolve().parents[1])
    ray.init(
        address,
        runtime_env={"working_dir": root, "env_vars": dict(environment)},
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _start_ray(home: Path) -> None:
    """One Ray of our own, never one that happens to run here; its files under `home`."""
    folder = (home / "ray").resolve()
    if len(str(folder)) > LONGEST_SOCKET_FOLDER:
        folder = Path(tempfile.gettempdir()) / f"vocality-ray-{os.getuid()}"
    for name, value in LEAN.items():
        os.environ.setdefault(name, value)
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # uvicorn's: app.addresses decides who is believed
    ray.init(
        "local",
        num_cpus=max(os.cpu_count() or 1, 2),
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        _temp_dir=str(folder),
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
