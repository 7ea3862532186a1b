"""Small whisper checkpoints with random weights, in openai-whisper's own format."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from whisper.model import ModelDimensions, Whisper

SMALL = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=64,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=64,
    n_text_head=2,
    n_text_layer=2,
)
ENGLISH = replace(SMALL, n_vocab=51864)
LARGE_V3 = replace(SMALL, n_vocab=51866, n_mels=128)  # of its kind, not of its size
TIMESTAMPS = 1501  # the last tokens of every vocabulary
NO_SPEECH = -TIMESTAMPS - 2


def network(
    seed: int = 0,
    dims: ModelDimensions = SMALL,
    *,
    confidence: float = 0.45,
    deaf: bool = False,
) -> Whisper:
    """Random, but lively: texts vary, depend on the sound, hold timestamps, and come to an end.

    The greater the `confidence`, the surer it is of each token. A deaf one holds that nobody
    speaks, and writes all the same.
    """
    generator = torch.Generator().manual_seed(seed)
    model = Whisper(dims)
    end = 50257 if model.is_multilingual else 50256
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1.3 / weight[0].numel() ** 0.5, generator=generator)
            elif weight.dim() == 1:
                weight.copy_(torch.zeros_like(weight) + (weight.mean() > 0.5))
        words = model.decoder.token_embedding.weight.normal_(0, confidence, generator=generator)
        # a token's own embedding would otherwise call for the same token again
        model.decoder.positional_embedding.normal_(0, 4 * confidence, generator=generator)
        words[end] *= 1.7
        words[-TIMESTAMPS:] *= 1.1
        if deaf:
            model.decoder.ln.bias[0] = 2.0
            words[NO_SPEECH] = 0.0
            words[NO_SPEECH, 0] = 20.0
    return model


def write(
    folder: Path,
    seed: int = 0,
    dims: ModelDimensions = SMALL,
    *,
    confidence: float = 0.45,
    deaf: bool = False,
) -> Path:
    """A checkpoint file, as openai-whisper publishes them."""
    model = network(seed, dims, confidence=confidence, deaf=deaf)
    path = folder / f"small-{seed}-{dims.n_vocab}-{confidence:g}-{deaf}.pt"
    torch.save({"dims": asdict(dims), "model_state_dict": model.state_dict()}, path)
    return path
