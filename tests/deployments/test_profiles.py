"""serve.laptop.yaml and serve.cluster.yaml: the same builders, other placement, no typo."""

from importlib import import_module

import pytest
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from app.settings import Settings
from deployments import profiles
from deployments.api import PlatformSpec
from deployments.host import HostSpec
from deployments.profiles import PROFILES, Profile, read
from models.graph import FAMILIES

PROFILE_NAMES = ("laptop", "cluster")


def platform_of(profile: Profile) -> PlatformSpec:
    [found] = [a for a in profile.applications if a.name == "platform"]
    return PlatformSpec.model_validate(found.args)


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_ray_serve_accepts_the_file(name: str) -> None:
    stored = yaml.safe_load((PROFILES / f"serve.{name}.yaml").read_text())

    assert len(ServeDeploySchema.model_validate(stored).applications) == len(stored["applications"])


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_every_builder_exists_and_takes_its_arguments(name: str) -> None:
    for application in read(name).applications:
        module, builder = application.import_path.split(":")
        assert callable(getattr(import_module(module), builder))
        spec = PlatformSpec if application.name == "platform" else HostSpec
        spec.model_validate(application.args)


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_every_family_has_a_host_that_serves_it(name: str) -> None:
    profile = read(name)
    hosts = {
        a.name: HostSpec.model_validate(a.args).versions
        for a in profile.applications
        if a.name != "platform"
    }

    for family in FAMILIES:
        route = platform_of(profile).routes[family]
        assert hosts[route.hosts[route.champion]][family] == route.champion


def test_both_profiles_use_the_same_builders() -> None:
    laptop, cluster = ({a.import_path for a in read(n).applications} for n in PROFILE_NAMES)

    assert laptop == cluster


def test_the_cluster_gives_each_family_and_version_an_application_of_its_own() -> None:
    hosts = [a.name for a in read("cluster").applications if a.name != "platform"]

    assert hosts == [f"{f}--v1" for f in FAMILIES_SERVED] + ["transcript--configured"]


FAMILIES_SERVED = ("activity", "pitch", "timbre", "emotion", "clarity", "prosody", "fluency")


def test_without_a_checkpoint_whisper_has_neither_host_nor_route() -> None:
    served = profiles.applications(read("laptop"), Settings(transcript_model=None))

    assert [a.name for a in served] == ["analyzers", "platform"]
    assert "transcript" not in served[-1].args["routes"]
    with_it = profiles.applications(read("laptop"), Settings(transcript_model="tiny"))
    assert [a.name for a in with_it] == ["analyzers", "transcript", "platform"]


@pytest.mark.parametrize("name", PROFILE_NAMES)
def test_a_family_that_is_turned_off_is_neither_loaded_nor_routed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOCALITY_DISABLED_FAMILIES", "emotion, transcript")
    served = profiles.applications(read(name), Settings(transcript_model="tiny"))

    versions = [f for a in served if a.name != "platform" for f in a.args["versions"]]
    assert sorted(versions) == sorted(set(FAMILIES_SERVED) - {"emotion"})
    assert not {"emotion", "transcript"} & served[-1].args["routes"].keys()


def test_a_family_that_nobody_knows_cannot_be_turned_off() -> None:
    with pytest.raises(ValidationError, match="disabled_families"):
        Settings(disabled_families=frozenset({"emotoin"}))


def test_an_unknown_key_is_an_error_where_ray_would_ignore_it() -> None:
    stored = yaml.safe_load((PROFILES / "serve.laptop.yaml").read_text())
    stored["applications"][0]["max_surge_pct"] = 100

    with pytest.raises(ValidationError, match="max_surge_pct"):
        Profile.model_validate(stored)
