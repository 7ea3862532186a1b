"""From a name and version to checked tensors: `weights/NAME-VERSION.safetensors`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from models.results import Version

FOLDER = Path(__file__).parent / "weights"
MANIFEST = "manifest.json"


class WeightsUnavailable(RuntimeError):
    """Missing, truncated or altered weights; the family answers `model_unavailable`."""


@dataclass(frozen=True, slots=True)
class Weights:
    tensors: dict[str, Tensor]
    metadata: dict[str, str]  # what the network needs to rebuild itself
    version: Version


def load(name: str, version: str, folder: Path = FOLDER) -> Weights:
    """Read weights that are exactly those the manifest names, or raise WeightsUnavailable."""
    entry = _manifest(folder).get(name, {}).get(version)
    if entry is None:
        raise WeightsUnavailable(f"No weights named {name} version {version} in {folder}.")
    path = folder / f"{name}-{version}.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsUnavailable(f"{path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry["sha256"]:
        raise WeightsUnavailable(f"{path} has sha256 {digest[:12]}..., not {entry['sha256']}.")
    try:
        tensors = load_tensors(content)
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except SafetensorError as error:
        raise WeightsUnavailable(f"{path} is damaged: {error}.") from error
    stated = Version(name=name, version=version, sha256=digest, licence=entry["licence"])
    return Weights(tensors, metadata, stated)


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
    manifest = _manifest(folder)
    manifest.setdefault(name, {})[version] = {"sha256": digest, "licence": licence}
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text)
    return Version(name=name, version=version, sha256=digest, licence=licence)


CODE_VERSION = "1"  # of every family that is an algorithm; there is no other to load


def of_code(name: str, version: str, *modules: ModuleType) -> Version:
    """The version of a family that is an algorithm: the digest of the source that computes it."""
    if version != CODE_VERSION:
        raise WeightsUnavailable(
            f"{name} is an algorithm of version {CODE_VERSION}, not {version}."
        )
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return Version(name=name, version=version, sha256=digest.hexdigest())


def _manifest(folder: Path) -> dict[str, dict[str, dict[str, str]]]:
    try:
        found: dict[str, dict[str, dict[str, str]]] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return found
