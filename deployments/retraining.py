"""One retraining, from its sources to a version in the registry: what a job's driver runs.

The run in MLflow is opened and closed here, whatever becomes of the workers: FINISHED, FAILED,
or KILLED where it was told to stop. A driver that is killed itself leaves it open, and
deployments.burying closes it. A version is registered last and whole, after the gate.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from app.jobs.retraining import RetrainingIn
from app.tables import Gate, Json
from deployments import bringing, consenting, learning
from deployments.bringing import Known
from deployments.burying import workplace
from deployments.hand import Failed, Hand, Stopped
from deployments.learning import Lesson
from models import registry_publishing
from models.registry_server import RegistryUnavailable
from models.results import schema_digest
from models.shipped import file_digest
from models.weights import WeightsUnavailable
from training import card, dataset, gate, hearing, tensors, tracking
from training.dataset import Dataset
from training.gate import Verdict
from training.loop import Judging, NothingToLearn
from training.tracking import Curves

FAILED_CODE = "retraining_failed"
MEMORY_RATIO = 4  # of a device, per byte of weights, where no champion was measured


async def run(asked: Json, hand: Hand) -> Json:
    """The job's result. Raises Stopped, Failed, and what broke otherwise."""
    wanted = RetrainingIn.model_validate(asked)
    folder = workplace(hand.settings, hand.job_id)
    try:
        async with _booked(wanted, hand) as run_id:
            return await _retrained(wanted, hand, folder, run_id)
    except (FileNotFoundError, NothingToLearn, WeightsUnavailable, RegistryUnavailable) as error:
        raise Failed(FAILED_CODE, str(error)) from error
    finally:
        if hand.why != "pause":
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@asynccontextmanager
async def _booked(wanted: RetrainingIn, hand: Hand) -> AsyncIterator[str]:
    """A run in MLflow for as long as this takes, and closed by how it ended."""
    await asyncio.to_thread(tracking.bury, hand.job_id)  # of a driver before, if there was one
    run_id = await asyncio.to_thread(
        tracking.open_run,
        hand.job_id,
        f"{wanted.family} {hand.job_id[-6:]}",
        {"family": wanted.family, "owner": hand.owner_id},
        _flat(wanted.model_dump(mode="json")),
    )
    hand.progress({"run_id": run_id})
    ending: tracking.Ending = "FAILED"
    try:
        yield run_id
        ending = "FINISHED"
    except (Stopped, asyncio.CancelledError):
        ending = "KILLED"
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(tracking.close_run, run_id, ending))


async def _retrained(wanted: RetrainingIn, hand: Hand, folder: Path, run_id: str) -> Json:
    hand.progress({"phase": "material"})
    champion = await bringing.champion(wanted.family, hand, folder)
    base = await bringing.base(wanted, hand, folder, champion)
    material = await _material(wanted, hand, folder, base)
    manifest = material.manifest
    others = [base.licence] if base else []
    lesson = Lesson(
        family=wanted.family,
        work=folder / "work",
        minutes=wanted.minutes,
        seed=wanted.seed,
        split=material.split,
        synthesis=wanted.sources.synthesis,
        base=base.path if base else None,
        champion=champion.path,
        licence=manifest.licence(*others),
        workers=wanted.workers,
    )
    await asyncio.to_thread(_keep_material, run_id, manifest, lesson, champion)
    await asyncio.to_thread(_same_material, lesson.work, manifest.digest)
    await asyncio.to_thread(_learn, lesson, hand, run_id)
    hand.progress({"phase": "judging"})
    verdict = await asyncio.to_thread(_judged, lesson, material, champion, hand)
    hand.log(verdict.reason)
    await asyncio.to_thread(_keep_verdict, run_id, verdict)
    hand.progress({"phase": "registering"})
    hand.check()
    version = await asyncio.to_thread(_registered, lesson, material, verdict, champion, run_id)
    hand.log(f"Registered as {wanted.family} version {version}, gate {_gate(verdict)}.")
    hand.progress({"phase": "done"})
    return {
        "family": wanted.family,
        "version": version,
        "sha256": file_digest(lesson.weights),
        "gate": _gate(verdict),
        "reason": verdict.reason,
        "champion": champion.version,
        "metrics": _metrics(verdict),
        "licence": lesson.licence,
        "data_digest": manifest.digest,
        "clips": {"train": len(material.split.train), "held_out": len(material.split.held_out)},
        "left_out": manifest.left_out,
        "run_id": run_id,
    }


def _gate(verdict: Verdict) -> str:
    return (Gate.passed if verdict.passed else Gate.failed).value


async def _material(wanted: RetrainingIn, hand: Hand, folder: Path, base: Known | None) -> Dataset:
    recordings, left_out = None, dict[str, int]()
    if wanted.sources.recordings:
        recordings, left_out = await consenting.gather(hand, folder)
    corpora = hand.settings.corpora or hand.settings.home / "corpora"
    found = await asyncio.to_thread(
        dataset.gathered,
        corpora.resolve(),
        wanted.sources.corpora,
        recordings,
        synthesis=wanted.sources.synthesis,
        left_out=left_out,
        base=base.sha256 if base else None,
    )
    counts = {"train": len(found.split.train), "held_out": len(found.split.held_out)}
    hand.progress({"clips": counts, "left_out": found.manifest.left_out})
    hand.log(f"{counts['train']} clips to learn from, {counts['held_out']} to be judged by.")
    return found


def _keep_material(
    run_id: str, manifest: dataset.Manifest, lesson: Lesson, champion: Known
) -> None:
    tracking.keep(run_id, "manifest.json", {**manifest.as_json(), "digest": manifest.digest})
    tags = {
        "data_digest": manifest.digest,
        "licence": lesson.licence,
        "champion": champion.version,
    }
    tracking.tag(run_id, tags)


def _same_material(work: Path, digest: str) -> None:
    """A paused run goes on only where it would learn from the very same; else it starts afresh.

    So what somebody took back their consent for is in no checkpoint that is gone on from.
    """
    mark = work / "material"
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    mark.write_text(digest)


def _learn(lesson: Lesson, hand: Hand, run_id: str) -> None:
    curves = Curves(run_id)

    def tell(step: int, figures: Mapping[str, float]) -> None:
        if curves.add(step, figures):
            shown = {name: round(value, 4) for name, value in figures.items()}
            hand.progress({"step": step, **shown})

    hand.progress({"phase": "learning", "of_minutes": lesson.minutes})
    hand.log(f"Learning {lesson.family} for {lesson.minutes:g} minutes.")
    learning.learn(lesson, tell, hand.check)
    hand.check()
    curves.send()


def _judged(lesson: Lesson, material: Dataset, champion: Known, hand: Hand) -> Verdict:
    """Fresh weights and champion on the same held-out material."""
    judging = import_module(f"training.judging.{lesson.family}")
    where = Judging(lesson.work / "judging", lesson.synthesis)
    clips = material.split.held_out
    fresh = judging.judge(tensors.read(lesson.weights), clips, where)
    hand.check()
    theirs = judging.judge(tensors.read(champion.path), clips, where)
    hand.check()
    return gate.judge(judging.METRICS, fresh, theirs)


def _keep_verdict(run_id: str, verdict: Verdict) -> None:
    tracking.keep(run_id, "gate.json", asdict(verdict))
    tracking.keep(run_id, "gate.md", gate.table(verdict))
    tracking.figures(run_id, _metrics(verdict))


def _metrics(verdict: Verdict) -> dict[str, float]:
    """Of everything that was judged as a whole: the version's own, and the champion's."""
    whole = [one for one in verdict.compared if not one.value]
    return {one.metric: one.fresh for one in whole} | {
        f"champion_{one.metric}": one.champion for one in whole
    }


def _registered(
    lesson: Lesson, material: Dataset, verdict: Verdict, champion: Known, run_id: str
) -> str:
    """The version's number. Heard once by its engine: what cannot serve is not registered."""
    digest = material.manifest.digest
    clips = [*material.split.held_out, *material.split.train]
    asked = {"minutes": f"{lesson.minutes:g}", "seed": lesson.seed, "workers": lesson.workers}
    return registry_publishing.register(
        lesson.family,
        lesson.weights,
        sha256=file_digest(lesson.weights),
        licence=lesson.licence,
        gate=_gate(verdict),
        gate_reason=verdict.reason,
        schema_digest=schema_digest(lesson.family),
        memory_bytes=champion.memory_bytes or MEMORY_RATIO * lesson.weights.stat().st_size,
        metrics=_metrics(verdict),
        profile=hearing.profile(lesson.family, lesson.weights, clips),
        card=card.write(lesson.family, material.manifest, verdict, lesson.licence, asked),
        run_id=run_id,
        code_digest=card.code_digest(),
        data_digest=digest,
    )


def _flat(asked: Json, prefix: str = "") -> dict[str, Any]:
    """Parameters as MLflow has them."""
    found = dict[str, Any]()
    for name, value in asked.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = ", ".join(value) if isinstance(value, list) else value
    return found
