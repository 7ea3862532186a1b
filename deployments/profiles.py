"""Profiles: the serve.*.yaml files, and the applications that they ask for."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict
from ray import serve

from app.settings import Settings
from deployments.host import HostSpec
from deployments.reconciler import own_application
from models.results import Family

PROFILES = Path(__file__).parent
HOST = "deployments.host:build"
SHIPPED = "1"  # what the files call the versions that come with the release


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


def _without(off: AbstractSet[str], application: Application) -> Application | None:
    """The application less these families; None where it served no other."""
    args = dict(application.args)
    for key in ("versions", "routes"):
        if key in args:
            args[key] = {family: what for family, what in args[key].items() if family not in off}
    if args.get("versions") == {}:
        return None
    return application.model_copy(update={"args": args})


def templates(profile: Profile, families: Iterable[Family]) -> dict[Family, HostSpec]:
    """How each of the families is hosted: what a further version of it is hosted like."""
    hosts = [HostSpec.model_validate(a.args) for a in profile.applications if a.import_path == HOST]
    found = {family: spec for spec in hosts for family in spec.versions}
    return {family: found[family] for family in families}


def labelled(
    application: Application,
    labels: Mapping[Family, str],
    digests: Mapping[Family, str],
) -> Application:
    """With what the shipped versions are called in the registry instead of the profile's "1"."""
    args, name = dict(application.args), application.name
    if "versions" in args:
        args["versions"] = {f: labels.get(f, v) for f, v in args["versions"].items()}
        args["digests"] = {f: digests[f] for f in args["versions"] if f in digests}
    if "routes" in args:
        args["routes"] = {f: _renamed(f, r, labels.get(f)) for f, r in args["routes"].items()}
    for family, label in labels.items():
        name = own_application(family, label) if name == own_application(family, SHIPPED) else name
    return application.model_copy(update={"args": args, "name": name})


def _renamed(family: Family, route: Mapping[str, Any], label: str | None) -> Mapping[str, Any]:
    if label is None:
        return route
    host, own = route["hosts"][route["champion"]], own_application(family, SHIPPED)
    renamed = own_application(family, label) if host == own else host
    return {"champion": label, "hosts": {label: renamed}}


def of_host(name: str, spec: HostSpec) -> Application:
    """A host that the file does not have."""
    return Application(name=name, route_prefix=None, import_path=HOST, args=spec.model_dump())
