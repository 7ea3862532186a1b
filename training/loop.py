"""The training loop every recipe shares: a budget of CPU minutes, cosine decay, checkpoints."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

B = TypeVar("B")  # what the recipe calls a batch
N = TypeVar("N", bound=nn.Module)
Report = Callable[[int, Mapping[str, float]], None]  # step, figures


@dataclass(frozen=True, slots=True)
class Run:
    """What a recipe is given. A recipe is a module of `training.recipes` with a
    `train(run: Run) -> Trained`."""

    corpora: Path  # a folder for each corpus, each with its labels.csv
    work: Path  # generated material and checkpoints live here; safe to delete
    minutes: float = 25.0
    seed: int = 0
    report: Report = lambda step, figures: log.info("step %d %s", step, dict(figures))


@dataclass(frozen=True, slots=True)
class Trained:
    """What a recipe gives back: all that `models.weights.save` needs, and how good it is."""

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
    checkpoint: Path | None = None  # resumed from if it is there


def fit(
    network: N,
    batches: Iterator[B],
    loss: Callable[[N, B], Tensor],
    plan: Plan,
    report: Report,
) -> int:
    """Train in place until the minutes are spent; returns the number of steps.

    A run that was stopped goes on from its checkpoint, with the minutes it had left.
    """
    optimiser = torch.optim.AdamW(
        network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
    )
    step, spent = _resume(network, optimiser, plan.checkpoint)
    started, recent = time.thread_time() - spent, 0.0
    network.train()
    while (share := (time.thread_time() - started) / 60 / plan.minutes) < 1:
        _set_rate(optimiser, plan, step, share)
        value = loss(network, next(batches))
        optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), plan.clip_norm)
        optimiser.step()
        step, recent = step + 1, recent + value.item()
        if step % plan.every == 0:
            report(step, {"loss": recent / plan.every, "minutes": share * plan.minutes})
            recent = 0.0
            _keep(network, optimiser, step, time.thread_time() - started, plan.checkpoint)
    network.eval()
    return step


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
    network.load_state_dict(kept["network"])
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
    kept = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**kept, "step": step, "seconds": seconds}, fresh)
    fresh.replace(path)
