"""Starts the platform from a profile: Ray, Serve's door, and every application of the file."""

import io
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import redirect_stdout, suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import ray
import yaml
from pydantic import BaseModel, ConfigDict
from ray import serve

from app.settings import Settings

PROFILES = Path(__file__).parent
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


class Application(BaseModel):
    """One application of a profile, in Ray Serve's own schema."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    route_prefix: str | None
    import_path: str
    args: dict[str, Any] = {}

    def build(self) -> serve.Application:
        """Call the builder with the arguments that its annotation validates."""
        module, name = self.import_path.split(":")
        builder: Callable[[BaseModel], serve.Application] = getattr(import_module(module), name)
        [parameter] = signature(builder, eval_str=True).parameters.values()
        return builder(parameter.annotation.model_validate(self.args))


class Profile(BaseModel):
    """A whole serve.*.yaml; an unknown key is an error, where Ray would ignore it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    proxy_location: str
    http_options: dict[str, Any]
    logging_config: dict[str, Any] = {}
    applications: list[Application]


def read(name: str) -> Profile:
    return Profile.model_validate(yaml.safe_load((PROFILES / f"serve.{name}.yaml").read_text()))


def applications(profile: Profile, settings: Settings) -> list[Application]:
    """The profile's applications without the families that are turned off.

    Without a whisper checkpoint the transcript is one of them.
    """
    off = set(settings.disabled_families)
    if not settings.transcript_model:
        off.add("transcript")
    parts = (_without(off, application) for application in profile.applications)
    return [part for part in parts if part is not None]


def connect(settings: Settings, environment: Mapping[str, str]) -> None:
    """Join the cluster that RAY_ADDRESS names, or start Ray on this machine."""
    if settings.ray_address:
        _join(settings.ray_address, environment)
    else:
        _start_ray(settings.home)


def serve_profile(name: str, settings: Settings) -> None:
    """Serve the profile's applications; returns when every replica is ready."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    profile = read(name)
    chosen = settings.model_dump(include={"host", "port"} & settings.model_fields_set)
    door = profile.http_options | chosen
    serve.start(
        proxy_location=profile.proxy_location,
        http_options=door,
        logging_config=profile.logging_config or {"log_level": "WARNING"},
    )
    targets = [
        serve.RunTarget(application.build(), application.name, application.route_prefix)
        for application in applications(profile, settings)
    ]
    serve.run_many(targets)


def stop(name: str, settings: Settings) -> None:
    """The door ends first, when it has answered what it holds, and then those it asks.

    On a cluster that others use, only ours ends.
    """
    for application in reversed(applications(read(name), settings)):
        with suppress(TimeoutError):  # it goes on ending by itself
            serve.delete(application.name)
    with redirect_stdout(io.StringIO()):  # Ray prints the controller's own end as an error
        if not settings.ray_address:
            serve.shutdown()
        ray.shutdown()


def _without(off: AbstractSet[str], application: Application) -> Application | None:
    """The application less these families; None where it served no other."""
    args = dict(application.args)
    for key in ("versions", "routes"):
        if key in args:
            args[key] = {family: what for family, what in args[key].items() if family not in off}
    if args.get("versions") == {}:
        return None
    return application.model_copy(update={"args": args})


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
    ray.init(
        "local",
        num_cpus=max(os.cpu_count() or 1, 2),
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        _temp_dir=str(folder),
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
