"""Tensors and what rebuilds their network, as one file: .safetensors or whisper's own .pt."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

WHISPER = ".pt"


@dataclass(frozen=True, slots=True)
class Kept:
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def write(path: Path, kept: Kept, licence: str) -> Path:
    """Whole or not at all; the licence travels with the weights. Whisper's format has no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".fresh")
    tensors = {name: x.detach().cpu().contiguous() for name, x in kept.tensors.items()}
    if path.suffix == WHISPER:
        dims = json.loads(kept.metadata["dims"])
        torch.save({"dims": dims, "model_state_dict": tensors}, fresh)
    else:
        fresh.write_bytes(save_tensors(tensors, {**kept.metadata, "licence": licence}))
    return fresh.replace(path)


def read(path: Path) -> Kept:
    if path.suffix == WHISPER:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        return Kept(stored["model_state_dict"], {"dims": json.dumps(stored["dims"])})
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata() or {}
    return Kept(load_tensors(path.read_bytes()), metadata)


def of_whisper(model: torch.nn.Module, dims: object) -> Kept:
    """A checkpoint in memory; `dims` are whisper's ModelDimensions."""
    shape = json.dumps(asdict(dims))  # type: ignore[call-overload]
    return Kept(model.state_dict(), {"dims": shape})
