"""Transcript: fine-tune the decoder of an openai-whisper checkpoint by low-rank adapters.

LoRA (Hu et al. 2021) on the queries and values of the decoder's attention; the encoder stands
still, so every clip is encoded once. What comes out is a checkpoint of whisper's own kind: the
adapters are added up into its weights.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import LANGUAGES, get_tokenizer

from training import data, tensors
from training.loop import Learnt, NothingToLearn, Plan, Run, fit
from training.tensors import Kept

RANK, SCALE = 8, 2.0
ADAPTED = ("query", "value")
LEARNING_RATE = 1e-3
BATCH = 8  # clips
LONGEST_S = 30.0  # whisper's window
IGNORED = -100  # in the wanted tokens: the prompt, and what is past the end


@dataclass(frozen=True, slots=True)
class Example:
    """An encoded clip, and what to write of it."""

    features: Tensor  # (1500, state), float16
    tokens: list[int]  # the prompt, the text, the end
    prompt: int  # tokens of the prompt


@dataclass(frozen=True, slots=True)
class Batch:
    features: Tensor  # (batch, 1500, state)
    tokens: Tensor  # (batch, n): what is known
    wanted: Tensor  # (batch, n): what comes next, or IGNORED


class LowRank(nn.Module):
    """Adds a matrix of low rank to a weight; nothing at first."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.randn(RANK, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, RANK))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + SCALE / RANK * self.up @ self.down


def retrain(run: Run) -> Learnt:
    """From clips with a transcript, of at most 30 s; `run.base` is the checkpoint.

    Recordings without a transcript teach nothing here: the champion's own text would only teach
    it its errors.
    """
    if run.base is None:
        raise ValueError("Fine-tuning goes on from a checkpoint.")
    model = network_of(tensors.read(run.base))
    torch.manual_seed(run.seed)
    clips = transcribed(run.split.train if run.split else [])
    if not clips:
        raise NothingToLearn(f"No clip of at most {LONGEST_S:g} s has a transcript.")
    known = [example(model, clip) for clip in clips]
    decoder = adapted(model)
    plan = Plan(
        run.minutes,
        LEARNING_RATE,
        weight_decay=0.0,
        warm_up_steps=10,
        every=20,
        checkpoint=run.checkpoints / "transcript.pt",
        device=run.device,
    )
    steps = fit(decoder, batches(known, run.rng()), loss, plan, run.report)
    merge(decoder)
    figures = {"steps": float(steps), "clips": float(len(clips))}
    kept = tensors.of_whisper(model, model.dims)
    return Learnt(kept.tensors, kept.metadata, figures)


def network_of(kept: Kept) -> Whisper:
    model = Whisper(ModelDimensions(**json.loads(kept.metadata["dims"])))
    model.load_state_dict(dict(kept.tensors))
    return model.eval().requires_grad_(False)


def transcribed(clips: Sequence[data.Clip]) -> list[data.Clip]:
    return [clip for clip in clips if clip.transcript and clip.seconds <= LONGEST_S]


@torch.no_grad()
def example(model: Whisper, clip: data.Clip) -> Example:
    samples = torch.from_numpy(pad_or_trim(clip.audio().samples, N_SAMPLES))
    mel = log_mel_spectrogram(samples, model.dims.n_mels)[None, :, :N_FRAMES]
    prompt, text = _tokens(model, clip)
    longest = model.dims.n_text_ctx - len(prompt) - 1
    return Example(model.encoder(mel)[0].half(), [*prompt, *text[:longest]], len(prompt))


def _tokens(model: Whisper, clip: data.Clip) -> tuple[list[int], list[int]]:
    """What whisper is told, and what it is to write: no timestamps, for there are none."""
    language = clip.language if clip.language in LANGUAGES else "en"
    tokenizer = get_tokenizer(
        model.is_multilingual,
        num_languages=model.num_languages,
        language=language if model.is_multilingual else None,
        task="transcribe" if model.is_multilingual else None,
    )
    text = tokenizer.encode(f" {clip.transcript.strip()}")
    return list(tokenizer.sot_sequence_including_notimestamps), [*text, tokenizer.eot]


def adapted(model: Whisper) -> nn.Module:
    """The decoder, of which only adapters learn."""
    for block in model.decoder.blocks:
        for attention in (block.attn, block.cross_attn):
            for name in ADAPTED:
                linear = getattr(attention, name)
                parametrize.register_parametrization(linear, "weight", LowRank(linear.weight))
    decoder: nn.Module = model.decoder
    return decoder


def merge(decoder: nn.Module) -> None:
    """The adapters become part of the weights."""
    for part in decoder.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)


def batches(known: Sequence[Example], rng: np.random.Generator) -> Iterator[Batch]:
    """For ever: clips at random."""
    while True:
        chosen = [known[int(i)] for i in rng.integers(len(known), size=min(BATCH, len(known)))]
        yield together(chosen)


def together(chosen: Sequence[Example]) -> Batch:
    longest = max(len(one.tokens) for one in chosen) - 1
    tokens = torch.zeros(len(chosen), longest, dtype=torch.long)
    wanted = torch.full((len(chosen), longest), IGNORED)
    for row, one in enumerate(chosen):
        line = torch.tensor(one.tokens)
        tokens[row, : len(line) - 1] = line[:-1]
        wanted[row, one.prompt - 1 : len(line) - 1] = line[one.prompt :]
    return Batch(torch.stack([one.features.float() for one in chosen]), tokens, wanted)


def loss(decoder: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of each token of the text, given the sound and those before it."""
    logits = decoder(batch.tokens, batch.features)
    return nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.wanted.flatten(), ignore_index=IGNORED
    )
