"""From a name and version to checked tensors: `weights/NAME-VERSION.safetensors`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from models import registry, shipped
from models.results import Family, Version
from models.shipped import FOLDER, MANIFEST, manifest


class WeightsUnavailable(RuntimeError):
    """Missing, truncated or altered weights; the family answers `model_unavailable`."""


@dataclass(frozen=True, slots=True)
class Weights:
    tensors: dict[str, Tensor]
    metadata: dict[str, str]  # what the network needs to rebuild itself
    version: Version


def load(name: str, version: str, folder: Path = FOLDER, *, sha256: str | None = None) -> Weights:
    """Read weights that are exactly those the manifest names, or raise WeightsUnavailable.

    With a digest: exactly those, from the folder whatever it calls them, else from the registry,
    once; they answer under the version that was asked for.
    """
    labels = manifest(folder).get(name, {})
    if sha256 is None and version not in labels:
        raise WeightsUnavailable(f"No weights named {name} version {version} in {folder}.")
    wanted = sha256 or labels[version]["sha256"]
    label = next((own for own, entry in labels.items() if entry["sha256"] == wanted), None)
    path = folder / f"{name}-{label}.safetensors" if label else _fetched(name, version, wanted)
    return _read(path, name, version, wanted)


def _read(path: Path, name: str, version: str, sha256: str) -> Weights:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsUnavailable(f"{path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise WeightsUnavailable(f"{path} has sha256 {digest[:12]}..., not {sha256}.")
    try:
        tensors = load_tensors(content)
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except SafetensorError as error:
        raise WeightsUnavailable(f"{path} is damaged: {error}.") from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise WeightsUnavailable(f"{path} holds weights that are not numbers.")
    licence = metadata.get("licence", "Apache-2.0")
    stated = Version(name=name, version=version, sha256=digest, licence=licence)
    return Weights(tensors, metadata, stated)


def _fetched(name: str, version: str, sha256: str) -> Path:
    try:
        return registry.fetch_exact(name, version, sha256)
    except registry.RegistryUnavailable as error:
        raise WeightsUnavailable(f"{name} {sha256[:12]}... does not ship, and {error}") from error


def save(
    name: str,
    version: str,
    tensors: Mapping[str, Tensor],
    *,
    licence: str,
    metadata: Mapping[str, str],
    card: str,
    folder: Path = FOLDER,
) -> Version:
    """Write weights, their manifest entry and the model card (Mitchell et al. 2019) beside them."""
    content = save_tensors(
        {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
        {**metadata, "licence": licence},
    )
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{name}-{version}.safetensors").write_bytes(content)
    (folder / f"{name}-{version}.md").write_text(f"# {name}-{version}\n\n{card.strip()}\n")
    listed = manifest(folder)
    listed.setdefault(name, {})[version] = {"sha256": digest, "licence": licence}
    text = json.dumps(listed, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text)
    return Version(name=name, version=version, sha256=digest, licence=licence)


CODE_VERSION = "1"  # of every family that is an algorithm, where no digest says which is meant


def of_code(family: Family, version: str, sha256: str | None = None) -> Version:
    """The version of a family that is an algorithm: the digest of the source that computes it.

    A release holds one; any other that is asked for raises WeightsUnavailable.
    """
    digest = shipped.code_digest(family)
    if digest != (sha256 or digest) or not (sha256 or version == CODE_VERSION):
        raise WeightsUnavailable(
            f"{family} is an algorithm: this release computes {digest[:12]}..., which is not "
            f"version {version}{f' ({sha256[:12]}...)' if sha256 else ''}."
        )
    return Version(name=family, version=version, sha256=digest)
