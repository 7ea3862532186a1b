"""Registering a version: its files first, then version and facts in one write."""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models import registry_server
from models.registry_entries import SIGNATURE, Facts, entry_of
from models.registry_server import TRANSFER
from models.results import RESULT_TYPES, Family, FamilyResult
from models.shipped import file_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

WEIGHTS = (".safetensors", ".pt")
FOLDER = "model"  # among the run's artifacts
EXPERIMENT = "registered"  # runs of versions that no training run of ours made


def register(
    family: str,
    files: Path,
    *,
    sha256: str,
    licence: str,
    gate: str,
    gate_reason: str | None,
    schema_digest: str,
    memory_bytes: int,
    metrics: Mapping[str, float],
    profile: Mapping[str, Any],
    card: str,
    run_id: str | None,
    code_digest: str,
    data_digest: str,
) -> str:
    """Register a file or a folder and return its version; what has the digest already is that one.

    Safe to repeat after a death at any point: a version is seen with all its files and facts or
    not at all. Raises RegistryUnavailable, and ValueError where the files are not those.
    """
    facts = Facts.model_validate(
        {
            "sha256": sha256,
            "licence": licence,
            "gate": gate,
            "gate_reason": gate_reason,
            "schema_digest": schema_digest,
            "memory_bytes": memory_bytes,
            "metrics": dict(metrics),
            "profile": dict(profile),
            "code_digest": code_digest,
            "data_digest": data_digest,
            "card": card,
        }
    )
    _require(files, sha256)
    return registry_server.ask(
        f"models:/{family}", lambda c: _register(c, family, files, facts, run_id), TRANSFER
    )


def _require(files: Path, sha256: str) -> None:
    there = [files] if files.is_file() else [p for p in files.rglob("*") if p.is_file()]
    weights = [path for path in there if path.suffix in WEIGHTS]
    if not there or (weights and sha256 not in map(file_digest, weights)):
        raise ValueError(f"{files} holds no weights of sha256 {sha256[:12]}...")


def _register(
    client: "MlflowClient", family: str, files: Path, facts: Facts, run_id: str | None
) -> str:
    if known := _known(client, family, facts.sha256):
        return known[0]
    require_family(client, family)
    source, run_id = _upload(client, family, files, facts, run_id)
    made = client.create_model_version(
        family,
        source,
        run_id=run_id,
        tags=facts.tags() | {SIGNATURE: json.dumps(_signature(family).to_dict())},
        description=facts.card[:1000],
        await_creation_for=0,
    )
    first, *_ = _known(client, family, facts.sha256)
    if first != str(made.version):  # another process registered the same at the same time
        client.delete_model_version(family, str(made.version))
    return first


def require_family(client: "MlflowClient", family: str) -> None:
    """Make the registry know the family, if it does not."""
    if not client.search_registered_models(f"name = '{family}'"):
        with contextlib.suppress(Exception):  # another process was first
            client.create_registered_model(family)


def _known(client: "MlflowClient", family: str, sha256: str) -> list[str]:
    """The versions with this digest, the oldest first."""
    found = client.search_model_versions(f"name = '{family}' and tag.sha256 = '{sha256}'")
    return sorted((str(one.version) for one in found if entry_of(one)), key=int)


def _upload(
    client: "MlflowClient", family: str, files: Path, facts: Facts, run_id: str | None
) -> tuple[str, str]:
    """Where the files are now, and the run they belong to."""
    from mlflow.models import Model

    run = run_id or _own_run(client, family, facts)
    send = client.log_artifact if files.is_file() else client.log_artifacts
    send(run, str(files), FOLDER)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "card.md").write_text(facts.card)
        (Path(folder) / "facts.json").write_text(facts.model_dump_json(indent=1))
        Model(FOLDER, run, signature=_signature(family)).save(str(Path(folder) / "MLmodel"))
        client.log_artifacts(run, folder, FOLDER)
    if run_id is None:
        client.set_terminated(run)
    return f"{client.get_run(run).info.artifact_uri}/{FOLDER}", run


def _own_run(client: "MlflowClient", family: str, facts: Facts) -> str:
    """A run to hold the files: the one of an earlier try, if there was one."""
    from mlflow.entities import Metric

    experiment = client.get_experiment_by_name(EXPERIMENT)
    place = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    wanted = f"tags.sha256 = '{facts.sha256}' and tags.family = '{family}'"
    if earlier := client.search_runs([place], wanted, max_results=1):
        return str(earlier[0].info.run_id)
    tags = {"family": family, "sha256": facts.sha256}
    run = client.create_run(place, tags=tags, run_name=f"{family} {facts.sha256[:12]}")
    client.log_batch(run.info.run_id, [Metric(k, v, 0, 0) for k, v in facts.metrics.items()])
    return str(run.info.run_id)


def _signature(family: str) -> "ModelSignature":
    """A take in, the family's result out."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema, TensorSpec

    result = RESULT_TYPES.get(cast(Family, family), FamilyResult).__name__
    take = Schema([TensorSpec(np.dtype(np.float32), (-1,), "samples, mono, 16 kHz")])
    return ModelSignature(take, Schema([ColSpec(DataType.string, result)]))
