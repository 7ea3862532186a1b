"""One take over several hosts, as on a cluster: the same numbers as in one process."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import serve

from app.analyzer import AnalysisRequest, DeadlineExceeded, Overloaded
from app.rollouts.routing import Route
from deployments import host
from deployments.conductor import Conductor
from deployments.host import HostSpec
from deployments.placement import Placement, deploy
from deployments.remote import RemoteAnalyzer
from models import engines, graph
from models.audio import UnreadableAudio
from models.decode import decode
from models.results import Analysis, Family
from tests.same import assert_same_numbers
from tests.signals import tone, wav
from tests.small_ray import small_ray

pytestmark = pytest.mark.system

DEMO = Path(__file__).parents[2] / "cli" / "demo.flac"
FAMILIES: tuple[Family, ...] = ("activity", "pitch", "prosody", "fluency")
HOSTS: dict[str, dict[Family, str]] = {
    "activity--v1": {"activity": "1"},
    "pitch--v1": {"pitch": "1"},
    "speech--v1": {"prosody": "1", "fluency": "1"},
    "emotion--v1": {"emotion": "1"},
}
ROOM_S = {"emotion--v1": 130.0}  # of audio let in at once


@pytest.fixture(scope="module")
def analyzer() -> Iterator[RemoteAnalyzer]:
    with small_ray():
        routes: dict[Family, Route] = {}
        targets = []
        for name, versions in HOSTS.items():
            routes |= {family: Route(champion="1", hosts={"1": name}) for family in versions}
            spec = HostSpec(versions=versions, waiting_seconds=ROOM_S.get(name, 3600))
            targets.append(serve.RunTarget(host.build(spec), name, None))
        serve.run_many(targets)
        conductor = serve.run(
            deploy(Conductor, Placement()).bind(routes), name="conductor", route_prefix=None
        )
        yield RemoteAnalyzer(conductor)


async def test_a_take_over_three_hosts_gives_the_numbers_of_one_process(
    analyzer: RemoteAnalyzer,
) -> None:
    ready = engines.load_all(FAMILIES, device="cpu")
    [here] = graph.analyze([decode(DEMO)], ready, FAMILIES)

    there = await analyzer.analyze(DEMO.read_bytes(), AnalysisRequest(families=FAMILIES))

    assert_same_numbers(here, there)
    assert set(there.timing) == {*FAMILIES, "decode", "total"}


async def test_each_family_is_told_of_as_it_comes(analyzer: RemoteAnalyzer) -> None:
    told: list[Family] = []

    async def on_progress(family: Family, state: str) -> None:
        assert state == "done"
        told.append(family)

    request = AnalysisRequest(families=("fluency",))
    await analyzer.analyze(wav(tone(220.0, 1)), request, on_progress)

    assert set(told) == {"activity", "pitch", "fluency"}
    assert told[-1] == "fluency"


async def test_a_family_without_a_host_is_absent_and_the_rest_is_whole(
    analyzer: RemoteAnalyzer,
) -> None:
    request = AnalysisRequest(families=("pitch", "transcript"))

    found = await analyzer.analyze(wav(tone(220.0, 1)), request)

    assert found.pitch.absent is None
    assert found.transcript.absent is not None
    assert found.transcript.absent.reason == "model_unavailable"
    assert "vocality models fetch" in found.transcript.absent.detail
    assert "transcript" in await analyzer.missing()


async def test_what_cannot_be_read_comes_back_as_itself(analyzer: RemoteAnalyzer) -> None:
    with pytest.raises(UnreadableAudio) as raised:
        await analyzer.analyze(b"dear diary", AnalysisRequest())

    assert raised.value.code == "unsupported_media"
    assert "\x1b[" not in str(raised.value)


async def test_a_deadline_that_has_passed_is_said(analyzer: RemoteAnalyzer) -> None:
    with pytest.raises(DeadlineExceeded):
        await analyzer.analyze(wav(tone(220.0, 20)), AnalysisRequest(deadline_s=0.01))


async def test_a_full_host_refuses_and_those_inside_are_answered(analyzer: RemoteAnalyzer) -> None:
    take, request = wav(tone(220.0, 120)), AnalysisRequest(families=("emotion",))

    answers = await asyncio.gather(
        *(analyzer.analyze(take, request) for _ in range(12)), return_exceptions=True
    )

    refused = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert refused
    assert all(refusal.retry_after_s >= 1 for refusal in refused)
    assert len(refused) + sum(isinstance(answer, Analysis) for answer in answers) == 12
    assert len(refused) < 12


async def test_who_leaves_is_taken_out_of_the_line(analyzer: RemoteAnalyzer) -> None:
    take = wav(tone(220.0, 60))
    request = AnalysisRequest(families=("pitch",))
    asked = [asyncio.ensure_future(analyzer.analyze(take, request)) for _ in range(12)]
    pitch = serve.get_deployment_handle("AnalyzerHost", "pitch--v1")
    while (await pitch.stats.remote())["admitted_seconds"] < 120:
        await asyncio.sleep(0.02)

    ran = (await pitch.stats.remote())["batches"]
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)

    async with asyncio.timeout(30):
        while (await pitch.stats.remote())["admitted_seconds"] > 0:
            await asyncio.sleep(0.05)
    # The batch at work ends; those in line never run.
    assert (await pitch.stats.remote())["batches"] <= ran + 1


async def test_a_host_is_upgraded_under_load_without_a_failure(analyzer: RemoteAnalyzer) -> None:
    """Surge: the new replica is warm before the old one stops taking."""
    take, request = wav(tone(220.0, 1)), AnalysisRequest(families=("pitch",))
    answered = 0
    upgraded = asyncio.Event()

    async def client() -> None:
        nonlocal answered
        while not upgraded.is_set():
            found = await analyzer.analyze(take, request)
            assert found.pitch.absent is None
            answered += 1

    clients = [asyncio.create_task(client()) for _ in range(4)]
    pitch = serve.get_deployment_handle("AnalyzerHost", "pitch--v1")
    spec = HostSpec(versions={"pitch": "1"}, batch_seconds=30)
    target = serve.RunTarget(host.build(spec), "pitch--v1", None)
    await asyncio.to_thread(serve.run_many, [target])
    upgraded.set()
    await asyncio.gather(*clients)

    assert answered > 4
    assert (await pitch.stats.remote())["batches"] < answered  # another replica has begun anew
