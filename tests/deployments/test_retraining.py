"""Retraining, from sources to a version, whatever is killed on the way. Real servers."""

import asyncio
import csv
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import soundfile

from app import consents, ids
from app.jobs.retraining import RetrainingIn
from app.services import Services
from app.settings import Settings
from app.tables import Job, Recording
from deployments import burying, consenting, learning, retraining
from deployments.hand import Failed, Hand, Stopped
from deployments.learning import Lesson
from models import registry, whisper_checkpoints
from models.engine import Task
from models.transcript import TranscriptEngine
from tests import checkpoints
from tests.signals import tone, wav
from tests.small_ray import small_ray
from tests.spoken import level, speak
from training import dataset, tensors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[2]
SPEAKERS = 20
COLUMNS = "file,speaker,gender,label,transcript,language,duration_s,licence,train_ok,extra"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of twenty voices that nobody has."""
    root = tmp_path_factory.mktemp("corpora")
    folder = root / "voices"
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, COLUMNS.split(","), restval="")
        out.writeheader()
        for place in range(SPEAKERS):
            said = speak([3, 4], melody=level(100.0 + 10 * place)).audio
            soundfile.write(folder / f"{place}.wav", said.samples, said.sample_rate)
            out.writerow(
                {
                    "file": f"{place}.wav",
                    "speaker": f"s{place:02d}",
                    "gender": "fm"[place % 2],
                    "transcript": "la la la",
                    "language": "en",
                    "duration_s": said.seconds,
                    "licence": "CC BY 4.0",
                }
            )
    return root


@pytest.fixture
def here(settings: Settings, corpora: Path, registry_server: str) -> Settings:
    return settings.model_copy(update={"corpora": corpora, "mlflow_tracking_uri": registry_server})


def asked(**more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A few seconds of learning."""
    sources = {"corpora": ["voices"]} | more.pop("sources", {})
    body = {"family": "activity", "minutes": 0.03, "sources": sources, **more}
    return RetrainingIn.model_validate(body).model_dump(mode="json")


def hand_of(settings: Settings) -> Hand:
    return Hand(settings, ids.new("job"), "", "usr_rosa")


def client() -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient()


def run_of(job_id: str) -> "Run":
    [run] = client().search_runs(
        [str(e.experiment_id) for e in client().search_experiments()], f"tags.job_id = '{job_id}'"
    )
    return run


def artifact(run: "Run", name: str) -> dict[str, Any]:
    from mlflow.artifacts import load_dict

    found: dict[str, Any] = load_dict(f"{run.info.artifact_uri}/{name}")
    return found


async def test_a_retraining_leaves_a_version_and_all_that_speaks_for_it(
    here: Settings, platform: Services
) -> None:
    hand = hand_of(here)

    result = await retraining.run(asked(), hand)

    run, entry = run_of(hand.job_id), registry.read("activity", result["version"])
    assert run.info.status == "FINISHED"
    assert run.data.params["sources.corpora"] == "voices"
    assert client().get_metric_history(run.info.run_id, "loss")
    manifest = artifact(run, "manifest.json")
    assert len(manifest["clips"]) == SPEAKERS
    assert manifest["digest"] == result["data_digest"] == entry.facts.data_digest
    apart = {one["speaker"] for one in manifest["clips"] if one["split"] == "held_out"}
    assert apart == {"s17", "s18", "s19"}
    # A few seconds teach it less than the champion knows: registered, with the reason.
    assert (result["gate"], entry.facts.gate) == ("failed", "failed")
    assert entry.facts.gate_reason == result["reason"]
    assert "champion" in result["reason"]
    assert artifact(run, "gate.json")["reason"] == result["reason"]
    assert entry.facts.licence == "CC-BY-4.0"
    assert entry.facts.profile["counted"]["takes"] == SPEAKERS
    assert entry.facts.metrics["auc"] < entry.facts.metrics["champion_auc"]
    aliases = registry.read_aliases("activity")
    assert aliases is None or result["version"] not in (aliases.champion, aliases.challenger)
    assert not burying.workplace(here, hand.job_id).exists()


async def recorded(platform: Services, owners: list[str]) -> dict[str, str]:
    """A recording of each, by owner."""
    names = {owner: ids.new("rec") for owner in owners}
    for owner, name in names.items():
        await platform.storage.put(f"recordings/{name}/master", _once(wav(tone(200.0, 0.5))))
        async with platform.transaction() as session:
            session.add(
                Recording(
                    id=name, owner_id=owner, name="a", key=f"recordings/{name}/master",
                    sha256="", size_bytes=1, duration_s=0.5, channels=1,
                )
            )  # fmt: skip
    return names


async def _once(content: bytes) -> Any:  # noqa: ANN401
    yield content


async def test_consent_counts_when_recordings_are_read_and_withdrawn_ones_drop_out(
    here: Settings, platform: Services, tmp_path: Path
) -> None:
    names = await recorded(platform, ["usr_ada", "usr_bea", "usr_cid"])
    async with platform.transaction() as session:
        for owner in ("usr_ada", "usr_bea"):
            await consents.grant(session, owner, "training")

    first = await gathered(here, tmp_path)
    async with platform.transaction() as session:
        await consents.withdraw(session, "usr_ada", "training")
    second = await gathered(here, tmp_path)

    assert {one.clip for one in first.clips} == {names["usr_ada"], names["usr_bea"]}
    assert first.left_out == {consenting.NO_CONSENT: 1}
    assert {one.clip for one in second.clips} == {names["usr_bea"]}
    assert second.left_out == {consenting.NO_CONSENT: 2}
    assert second.digest != first.digest
    assert second.licence() == "LicenseRef-consented"
    assert not (tmp_path / "recordings" / "audio" / f"{names['usr_ada']}.flac").exists()


async def gathered(here: Settings, folder: Path) -> dataset.Manifest:
    recordings, left_out = await consenting.gather(hand_of(here), folder)
    return dataset.gathered(Path(), [], recordings, left_out=left_out).manifest


async def test_consent_taken_back_while_others_are_read_counts(
    here: Settings, platform: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(platform, ["usr_ada"])
    async with platform.transaction() as session:
        await consents.grant(session, "usr_ada", "training")
    hand, read = hand_of(here), consenting._Reader.read

    async def slow(self: consenting._Reader, row: Recording) -> str | None:
        why = await read(self, row)
        async with platform.transaction() as session:
            await consents.withdraw(session, "usr_ada", "training")
        return why

    monkeypatch.setattr(consenting._Reader, "read", slow)
    place, left_out = await consenting.gather(hand, tmp_path)

    assert left_out == {consenting.NO_CONSENT: 1}
    assert not list((place / "audio").iterdir())


async def test_told_to_stop_it_leaves_a_killed_run_and_no_version(
    here: Settings, platform: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = hand_of(here)
    hand.why = "cancel"

    def stop(step: dict[str, Any]) -> None:
        if step.get("phase") == "judging":
            hand.stop.set()

    monkeypatch.setattr(hand, "progress", stop)
    before = len(registry.versions())
    with pytest.raises(Stopped):
        await retraining.run(asked(minutes=0.01), hand)

    assert run_of(hand.job_id).info.status == "KILLED"
    assert len(registry.versions()) == before
    assert not burying.workplace(here, hand.job_id).exists()


async def test_what_cannot_be_learnt_from_fails_with_a_sentence(
    here: Settings, platform: Services
) -> None:
    hand = hand_of(here)
    with pytest.raises(Failed, match=r"nowhere.labels\.csv"):
        await retraining.run(asked(sources={"corpora": ["nowhere"]}), hand)
    assert run_of(hand.job_id).info.status == "FAILED"

    with pytest.raises(Failed, match="No clip is labelled"):
        await retraining.run(asked(family="emotion"), hand_of(here))


async def test_without_its_tracking_server_it_fails_before_it_learns(
    here: Settings, platform: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    started = time.monotonic()
    with pytest.raises(Failed, match="cannot be reached"):
        await retraining.run(asked(minutes=100), hand_of(here))

    assert time.monotonic() - started < 20


DRIVER = """
import asyncio, json, sys
from app.settings import settings
from deployments import retraining
from deployments.hand import Hand
hand = Hand(settings(), sys.argv[1], "", "usr_rosa")
hand.progress = lambda step: print(json.dumps(step), flush=True)
asyncio.run(retraining.run(json.loads(sys.argv[2]), hand))
"""


async def test_a_whisper_checkpoint_is_fine_tuned_judged_and_registered(
    here: Settings, platform: Services, tmp_path: Path
) -> None:
    checkpoint = checkpoints.write(tmp_path)
    hand = hand_of(here.model_copy(update={"transcript_model": str(checkpoint)}))

    result = await retraining.run(asked(family="transcript"), hand)

    entry = registry.read("transcript", result["version"])
    fetched = registry.fetch_exact("transcript", result["version"], result["sha256"])
    again = TranscriptEngine(whisper_checkpoints.load(str(fetched)))
    assert run_of(hand.job_id).info.status == "FINISHED"
    assert {"wer", "champion_wer"} <= entry.facts.metrics.keys()
    assert entry.facts.gate in ("passed", "failed")
    assert again.analyze_batch([Task(tone(220.0, 1))])[0].absent is None


async def test_a_killed_driver_leaves_a_run_to_bury_and_no_half_version(
    here: Settings, platform: Services
) -> None:
    job_id, before = ids.new("job"), len(registry.versions())
    environment = {
        **os.environ,
        "DATABASE_URL": str(here.database_url),
        "REDIS_URL": str(here.redis_url),
        "VOCALITY_HOME": str(here.home),
        "VOCALITY_CORPORA": str(here.corpora),
    }
    driver = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DRIVER, job_id, json.dumps(asked(minutes=50)),
        stdout=asyncio.subprocess.PIPE, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert driver.stdout
    async with asyncio.timeout(90):
        while b'"learning"' not in await driver.stdout.readline():
            assert not driver.stdout.at_eof()
    driver.send_signal(signal.SIGKILL)
    await driver.wait()

    assert run_of(job_id).info.status == "RUNNING"
    async with platform.transaction() as session:
        lost = {"kind": "retraining", "owner_id": "usr_rosa", "asked": {}, "state": "failed"}
        session.add(Job(id=job_id, **lost))
    buried = await burying.bury_all(platform.sessions, here)

    assert buried == [job_id]
    assert run_of(job_id).info.status == "FAILED"
    assert not burying.workplace(here, job_id).exists()
    assert len(registry.versions()) == before
    assert await burying.bury_all(platform.sessions, here) == []


@pytest.fixture
def cluster() -> Iterator[None]:
    with small_ray():
        yield


@pytest.mark.system
def test_a_killed_worker_goes_on_where_its_checkpoint_was(
    corpora: Path, tmp_path: Path, cluster: None
) -> None:
    lesson = Lesson(
        family="activity",
        work=tmp_path,
        minutes=0.27,
        seed=0,
        split=dataset.gathered(corpora, ["voices"]).split,
        synthesis=False,
        base=None,
        champion=None,
        licence="CC-BY-4.0",
        workers=1,
    )
    told, killed = list[int](), threading.Event()

    def tell(step: int, figures: learning.Figures) -> None:
        told.append(step)
        if len(told) == 2 and not killed.is_set():
            killed.set()
            [worker] = workers()
            worker.kill()

    learning.learn(lesson, tell, lambda: None)

    assert killed.is_set()
    assert tensors.read(lesson.weights).tensors
    again = told[2:]
    assert again
    assert min(again) > told[0], "it began again"
    assert lesson.figures["steps"] >= told[-1]


def workers() -> list[psutil.Process]:
    """Of Ray Train, as Ray names them."""
    every = psutil.Process().children(recursive=True)
    return [p for p in every if "RayTrainWorker" in p.name() + " ".join(p.cmdline())]
