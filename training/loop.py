"""The training loop every recipe shares: a budget of CPU minutes, cosine decay, checkpoints."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from training import data, together

log = logging.getLogger(__name__)

B = TypeVar("B")  # what the recipe calls a batch
N = TypeVar("N", bound=nn.Module)
Report = Callable[[int, Mapping[str, float]], None]  # step, figures


class NothingToLearn(ValueError):
    """The material holds nothing that this recipe learns from."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a recipe is given.

    A recipe is a module of `training.recipes` with `retrain(run: Run) -> Learnt`, for material of
    any source, and, where weights ship, `train(run: Run) -> Trained` for those. The module of
    `training.judging` of the same name has METRICS and `judge(kept, clips, judging) -> list[Mark]`.
    """

    corpora: Path  # a folder for each corpus, each with its labels.csv
    work: Path  # generated material and checkpoints live here; safe to delete
    minutes: float = 25.0
    seed: int = 0
    report: Report = lambda step, figures: log.info("step %d %s", step, dict(figures))
    split: data.Split | None = None  # None: the recipe's own corpora
    synthesis: bool = True  # whether voices are made up beside them
    base: Path | None = None  # weights to go on from
    champion: Path | None = None  # weights that say what recordings without labels hold
    rank: int = 0  # of this worker, where several learn together
    device: str = "cpu"

    @property
    def checkpoints(self) -> Path:
        """All that a stopped run needs to go on."""
        return self.work / "checkpoints"

    @property
    def learning_rate(self) -> float:
        """Weights that are good already are not shaken."""
        return 3e-4 if self.base else 2e-3

    def rng(self) -> np.random.Generator:
        """Chance that is the same for the same seed and another for each worker."""
        return np.random.default_rng([self.seed, self.rank] if self.rank else self.seed)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What learning itself gives."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]  # that the engine needs beside them
    figures: Mapping[str, float]  # of the learning: steps, examples


@dataclass(frozen=True, slots=True)
class Judging:
    """What versions are judged on beside the held-out clips: the same for all of them."""

    work: Path  # what is made of the clips is kept here
    synthesis: bool = True  # voices and sounds made up for the purpose as well


@dataclass(frozen=True, slots=True)
class Trained:
    """What a recipe gives back: all that is kept of a run, and how good it is."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    licence: str
    figures: Mapping[str, float]  # on held-out speakers
    card: str  # markdown: what it is, data, licence, recipe, figures, limits


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how fast."""

    minutes: float  # of this thread's own time, so that a busy machine trains as far as a quiet one
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm_up_steps: int = 50
    clip_norm: float = 1.0
    every: int = 100  # steps between reports and checkpoints
    at_least_s: float = 5.0  # or so many seconds, if that is sooner
    checkpoint: Path | None = None  # resumed from if it is there
    device: str = "cpu"


def fit(
    network: N,
    batches: Iterator[B],
    loss: Callable[[N, B], Tensor],
    plan: Plan,
    report: Report,
) -> int:
    """Train in place until the minutes are spent; returns the number of steps.

    A run that was stopped goes on from its checkpoint, with the minutes it had left. What
    `report` raises ends it, after the checkpoint is kept.
    """
    device = torch.device(plan.device)
    clock = time.thread_time if device.type == "cpu" else time.monotonic
    optimiser = torch.optim.AdamW(
        network.to(device).parameters(), plan.learning_rate, weight_decay=plan.weight_decay
    )
    step, spent = _resume(network, optimiser, plan.checkpoint)
    together.begin(network)
    started, recent = clock() - spent, _Recent(step, spent)
    network.train()
    while (seconds := together.agreed(clock() - started, device)) < 60 * plan.minutes:
        _set_rate(optimiser, plan, step, seconds / 60 / plan.minutes)
        recent.loss += _learn(network, loss, on(next(batches), device), optimiser, plan)
        step += 1
        if step - recent.step >= plan.every or seconds - recent.seconds > plan.at_least_s:
            recent = _note(network, optimiser, (step, seconds), recent, plan, report)
    if step > recent.step:
        _note(network, optimiser, (step, seconds), recent, plan, report)
    network.to("cpu").eval()
    return step


@dataclass(slots=True)
class _Recent:
    """The loss since the last report."""

    step: int
    seconds: float
    loss: float = 0.0


def _note(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    now: tuple[int, float],
    recent: _Recent,
    plan: Plan,
    report: Report,
) -> _Recent:
    """Keep a checkpoint, then say how it goes: whoever stops it now loses nothing."""
    step, seconds = now
    _keep(network, optimiser, step, seconds, plan.checkpoint)
    report(step, {"loss": recent.loss / (step - recent.step), "minutes": seconds / 60})
    return _Recent(step, seconds)


def _learn(
    network: N,
    loss: Callable[[N, B], Tensor],
    batch: B,
    optimiser: torch.optim.Optimizer,
    plan: Plan,
) -> float:
    value = loss(network, batch)
    optimiser.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    together.average(network)
    nn.utils.clip_grad_norm_(network.parameters(), plan.clip_norm)
    optimiser.step()
    return value.item()


def on(batch: B, device: torch.device) -> B:
    """The batch with the tensors of its fields, at any depth, on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device)  # type: ignore[return-value]
    if not is_dataclass(batch) or isinstance(batch, type):
        return batch
    values = {one.name: on(getattr(batch, one.name), device) for one in fields(batch)}
    return replace(batch, **values)


def _set_rate(optimiser: torch.optim.Optimizer, plan: Plan, step: int, share: float) -> None:
    cosine = 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * share))))
    warm = min(1.0, (step + 1) / plan.warm_up_steps)
    for group in optimiser.param_groups:
        group["lr"] = plan.learning_rate * max(warm * cosine, 0.005)


def _resume(
    network: nn.Module, optimiser: torch.optim.Optimizer, path: Path | None
) -> tuple[int, float]:
    """Steps and seconds already spent."""
    if path is None or not path.exists():
        return 0, 0.0
    kept: dict[str, Any] = torch.load(path, weights_only=True)
    network.load_state_dict(kept["network"], strict=False)
    optimiser.load_state_dict(kept["optimiser"])
    return int(kept["step"]), float(kept["seconds"])


def _keep(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
    path: Path | None,
) -> None:
    """Written whole or not at all, so that a killed run leaves the last good one."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".fresh")
    kept = {"network": _learnt(network), "optimiser": optimiser.state_dict()}
    torch.save({**kept, "step": step, "seconds": seconds}, fresh)
    fresh.replace(path)


def _learnt(network: nn.Module) -> dict[str, Tensor]:
    """Its state without what stands still: of a large network only an adapter learns."""
    still = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    return {name: x for name, x in network.state_dict().items() if name not in still}
