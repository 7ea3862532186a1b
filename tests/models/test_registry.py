"""The registry: versions whole or not at all, aliases as wished, files by digest. A real MLflow."""

import hashlib
import json
from pathlib import Path
from uuid import uuid4

import pytest
import torch

from models import engines, registry, weights
from models.registry import Aliases, RegistryUnavailable
from models.results import Version
from models.weights import WeightsUnavailable
from tests import checkpoints


@pytest.fixture
def family() -> str:
    """One that nobody has registered before."""
    return f"toy-{uuid4().hex[:8]}"


def made(folder: Path, value: float) -> Path:
    """Weights in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"w": torch.full((3,), value)}
    weights.save("toy", "1", tensors, licence="MIT", metadata={}, card="Toy.", folder=folder)
    return folder / "toy-1.safetensors"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def register(family: str, path: Path, **other: object) -> str:
    facts: dict[str, object] = {
        "sha256": digest(path),
        "licence": "MIT",
        "gate": "passed",
        "gate_reason": None,
        "schema_digest": "s",
        "memory_bytes": 1_000,
        "metrics": {"rpa": 0.97},
        "profile": {"takes": 3, "measures": {"a": list(range(5000))}},
        "card": "# toy\n\n" + "A long card. " * 1000,
        "run_id": None,
        "code_digest": "c",
        "data_digest": "d",
    }
    return registry.register(family, path, **(facts | other))  # type: ignore[arg-type]


def test_a_version_is_registered_once_with_all_that_is_known_of_it(
    registry_server: str, family: str, tmp_path: Path
) -> None:
    path = made(tmp_path / "one", 1.0)

    first, again = register(family, path), register(family, path)
    second = register(family, made(tmp_path / "two", 2.0), gate="failed", gate_reason="worse")

    assert (first, again, second) == ("1", "1", "2")
    entry = registry.read(family, "1")
    assert entry.facts.sha256 == digest(path)
    assert entry.facts.metrics == {"rpa": 0.97}
    assert entry.facts.profile["takes"] == 3
    assert entry.facts.card.startswith("# toy")
    assert (entry.facts.code_digest, entry.facts.data_digest) == ("c", "d")
    assert json.loads(entry.signature["inputs"])[0]["type"] == "tensor"
    assert entry.run_id
    ours = [entry for entry in registry.versions() if entry.family == family]
    judged = {entry.version: (entry.facts.gate, entry.facts.gate_reason) for entry in ours}
    assert judged == {"1": ("passed", None), "2": ("failed", "worse")}


def test_weights_come_from_the_registry_by_digest_and_then_from_the_cache(
    registry_server: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "one", 1.0)
    version = register(family, path)

    found = weights.load(family, version, sha256=digest(path))

    assert found.tensors["w"].tolist() == [1, 1, 1]
    assert (found.version.version, found.version.licence) == (version, "MIT")
    with pytest.raises(WeightsUnavailable, match="holds no file"):
        weights.load(family, version, sha256="0" * 64)
    kept = registry.cache() / "by-digest" / digest(path)
    kept.write_bytes(b"spoilt")  # is noticed, and brought again
    assert weights.load(family, version, sha256=digest(path)).version.sha256 == digest(path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert weights.load(family, version, sha256=digest(path)).version.sha256 == digest(path)
    kept.unlink()
    with pytest.raises(WeightsUnavailable, match="cannot be reached"):
        weights.load(family, version, sha256=digest(path))


def test_a_whisper_checkpoint_comes_by_digest_too(registry_server: str, tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path)
    version = register("transcript", path)

    stated = engines.load("transcript", version, sha256=digest(path)).version

    assert stated == Version(name="transcript", version=version, sha256=digest(path), licence="MIT")


def test_aliases_and_the_share_are_what_was_wished(
    registry_server: str, family: str, tmp_path: Path
) -> None:
    for value in (1.0, 2.0, 3.0):
        register(family, made(tmp_path / str(value), value))
    wishes = (
        Aliases(champion="1"),
        Aliases(champion="1", challenger="2", percent=12.5),
        Aliases(champion="1", challenger="3", percent=50),
        Aliases(champion="1", shadow="3", previous="2"),
        Aliases(champion="configured", challenger="1", percent=5),
        Aliases(champion="2", previous="configured"),
        Aliases(champion="2"),
    )

    for wish in wishes:
        registry.write_aliases(family, wish)
        assert registry.aliases()[family] == wish
        registry.write_aliases(family, wish)
        assert registry.aliases()[family] == wish

    with pytest.raises(RegistryUnavailable):
        registry.write_aliases(family, Aliases(champion="9"))
    assert registry.aliases()[family] == Aliases(champion="2")


def test_a_death_on_the_way_leaves_nothing_that_can_be_seen(
    registry_server: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    path = made(tmp_path / "one", 1.0)
    steps = "create_run log_artifact log_artifacts set_terminated create_model_version"
    for step in steps.split():
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, step, _dies)
            with pytest.raises(RegistryUnavailable, match="killed"):
                register(family, path)
        assert [entry for entry in registry.versions() if entry.family == family] == []

    assert register(family, path) == "1"
    runs = MlflowClient().search_runs(["0", *_experiments()], f"tags.family = '{family}'")
    assert len(runs) == 1


def _dies(*_: object, **__: object) -> None:
    raise OSError("killed")


def _experiments() -> list[str]:
    from mlflow import MlflowClient

    return [one.experiment_id for one in MlflowClient().search_experiments()]


def test_files_that_are_not_the_weights_are_not_registered(
    registry_server: str, family: str, tmp_path: Path
) -> None:
    path = made(tmp_path / "one", 1.0)

    with pytest.raises(ValueError, match="holds no weights"):
        register(family, path, sha256="0" * 64)
