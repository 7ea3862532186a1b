"""Learning under Ray Train: in this process, or by workers that go on where one was killed."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import ray
import torch
from ray import train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import TorchTrainer, get_device

from app.jobs.retraining import LearntFamily
from models.deadline import started
from training import data, tensors
from training.loop import Learnt, Run
from training.tensors import WHISPER, Kept

LOOK_S = 0.5  # between two looks at what the workers tell
FAREWELL_S = 20.0  # for workers that were told to stop; then they end with this process
KEPT = 2  # checkpoints
FAILURES = 2  # workers that may be lost

Figures = Mapping[str, float]
Tell = Callable[[int, Figures], None]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be learnt. All paths are seen by every worker."""

    family: LearntFamily
    work: Path
    minutes: float
    seed: int
    split: data.Split
    synthesis: bool
    base: Path | None
    champion: Path | None
    licence: str
    workers: int = 0

    @property
    def weights(self) -> Path:
        """Where they are once all is learnt."""
        suffix = WHISPER if self.family == "transcript" else ".safetensors"
        return self.work / "learnt" / f"{self.family}{suffix}"

    @property
    def figures(self) -> Figures:
        found: Figures = json.loads(self.weights.with_suffix(".json").read_text())
        return found

    def run(self, rank: int, device: str) -> Run:
        work = self.work / f"worker-{rank}" if rank else self.work
        return Run(
            corpora=Path(),
            work=work,
            minutes=self.minutes,
            seed=self.seed,
            split=self.split,
            synthesis=self.synthesis,
            base=self.base,
            champion=self.champion,
            rank=rank,
            device=device,
        )


class Enough(Exception):
    """The workers were told to stop."""


def learn(lesson: Lesson, tell: Tell, check: Callable[[], None]) -> None:
    """Blocks until `lesson.weights` are there.

    `tell` gets figures by step, some of them twice where a worker went on from a checkpoint.
    `check` is asked all the time and stops it by raising.
    """
    if not lesson.workers:
        return _fit(lesson, partial(_told_here, tell=tell, check=check))
    desk: Any = ray.remote(num_cpus=0)(_Desk).remote()
    done = started(lambda: _fit(lesson, partial(_told_from_afar, desk=desk)))
    try:
        while not done.done():
            _hear(desk, tell)
            check()
            _wait(done, LOOK_S)
        _hear(desk, tell)
        done.result()
    except BaseException:
        desk.close.remote()
        _wait(done, FAREWELL_S)
        raise
    finally:
        ray.kill(desk)


Telling = Callable[[Run, int, Figures], None]


def _fit(lesson: Lesson, telling: Telling) -> None:
    logging.getLogger("ray.train").setLevel(logging.WARNING)  # it would print every report
    gpus = bool(lesson.workers) and ray.cluster_resources().get("GPU", 0) >= lesson.workers
    trainer = TorchTrainer(
        _study,
        train_loop_config={"lesson": lesson, "telling": telling},
        scaling_config=ScalingConfig(num_workers=lesson.workers, use_gpu=gpus),
        run_config=RunConfig(
            name="learning",
            storage_path=str((lesson.work / "ray").resolve()),
            failure_config=FailureConfig(max_failures=FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=KEPT),
        ),
    )
    trainer.fit()


def _study(config: dict[str, Any]) -> None:
    """What every worker does; the first one writes down what was learnt."""
    lesson, telling = config["lesson"], config["telling"]
    rank, device = 0, "cpu"
    if lesson.workers:
        torch.set_num_threads(1)
        rank, device = train.get_context().get_world_rank(), str(get_device())
    run = lesson.run(rank, device)
    if lesson.workers:
        _restore(run)
    recipe = import_module(f"training.recipes.{lesson.family}")
    try:
        learnt = recipe.retrain(_telling(run, telling))
    except Enough:
        return
    if rank == 0:
        _write(lesson, learnt)


def _telling(run: Run, telling: Telling) -> Run:
    values = {name: getattr(run, name) for name in Run.__slots__}
    return Run(**values | {"report": lambda step, figures: telling(run, step, figures)})


def _restore(run: Run) -> None:
    """The last checkpoint that all workers had, and nothing that only this one has."""
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    if kept := train.get_checkpoint():
        kept.to_directory(str(run.checkpoints))


def _write(lesson: Lesson, learnt: Learnt) -> None:
    """The weights last: where they are, all is."""
    lesson.weights.parent.mkdir(parents=True, exist_ok=True)
    lesson.weights.with_suffix(".json").write_text(json.dumps(dict(learnt.figures)))
    tensors.write(lesson.weights, Kept(learnt.tensors, learnt.metadata), lesson.licence)


def _told_here(
    run: Run, step: int, figures: Figures, *, tell: Tell, check: Callable[[], None]
) -> None:
    train.report(dict(figures))
    tell(step, figures)
    check()


def _told_from_afar(run: Run, step: int, figures: Figures, *, desk: Any) -> None:  # noqa: ANN401
    """Ray keeps the first worker's checkpoint; all of them stop at the same step."""
    kept = None
    if run.rank == 0 and run.checkpoints.is_dir():
        kept = Checkpoint.from_directory(str(run.checkpoints))
    train.report(dict(figures), checkpoint=kept)
    closed = run.rank == 0 and ray.get(desk.put.remote(step, dict(figures)))
    if broadcast_from_rank_zero(closed):
        raise Enough


class _Desk:
    """Where the first worker leaves its figures, and is told whether to go on."""

    def __init__(self) -> None:
        self._there: list[tuple[int, Figures]] = []
        self._closed = False

    def put(self, step: int, figures: Figures) -> bool:
        self._there.append((step, figures))
        return self._closed

    def take(self) -> list[tuple[int, Figures]]:
        there, self._there = self._there, []
        return there

    def close(self) -> None:
        self._closed = True


def _hear(desk: Any, tell: Tell) -> None:  # noqa: ANN401
    for step, figures in ray.get(desk.take.remote()):
        tell(step, figures)


def _wait(done: "Future[None]", seconds: float) -> None:
    try:
        done.exception(seconds)
    except TimeoutError:
        return
