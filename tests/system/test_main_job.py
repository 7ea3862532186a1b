"""A take goes in over HTTP, an analysis comes out, through Ray Serve."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import numpy as np
import pytest

from models import engines, graph
from models.audio import Audio
from models.decode import decode
from models.graph import FAMILIES
from models.results import Analysis
from tests.same import assert_same_numbers
from tests.signals import noise, silence, tone, wav
from tests.system.platform import Platform
from training import demo_take

pytestmark = pytest.mark.system

DEMO = Path(__file__).parents[2] / "cli" / "demo.flac"
MEASURED = ",".join(family for family in FAMILIES if family != "transcript")


def analyze(client: httpx2.Client, encoded: bytes, **fields: str) -> httpx2.Response:
    return client.post("/v1/analyze", files={"file": ("take", encoded)}, data=fields)


def measured(client: httpx2.Client, encoded: bytes) -> Analysis:
    reply = analyze(client, encoded, families=MEASURED)
    assert reply.status_code == 200, reply.text
    return Analysis.model_validate_json(reply.text)


def upload(client: httpx2.Client, encoded: bytes) -> str:
    reply = client.post("/v1/recordings", files={"file": ("take.wav", encoded)})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def ended(client: httpx2.Client, analysis_id: str, within_s: float = 120) -> dict[str, object]:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found: dict[str, object] = client.get(f"/v1/analyses/{analysis_id}").json()
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        time.sleep(0.05)
    raise TimeoutError(analysis_id)


def test_a_take_is_measured_over_http_as_it_is_in_one_process(
    client: httpx2.Client, checkpoint: Path
) -> None:
    ready = engines.load_all(FAMILIES, transcript=checkpoint, device="cpu")
    [here] = graph.analyze([decode(DEMO)], ready)

    reply = analyze(client, DEMO.read_bytes())

    assert reply.status_code == 200
    there = Analysis.model_validate_json(reply.text)
    assert there.pitch.absent is None
    assert there.scores
    assert there.versions["pitch"].sha256 == here.versions["pitch"].sha256
    assert_same_numbers(here, there, rounded=True)


def test_takes_sent_together_are_measured_as_alone(client: httpx2.Client) -> None:
    takes = [wav(tone(hz, seconds)) for hz, seconds in ((110, 1), (220, 3), (330, 0.2), (440, 2))]
    alone = [
        Analysis.model_validate_json(analyze(client, t, families=MEASURED).text) for t in takes
    ]

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda t: analyze(client, t, families=MEASURED), takes * 4))

    for i, reply in enumerate(replies):
        together = Analysis.model_validate_json(reply.text)
        assert_same_numbers(alone[i % len(takes)], together, rounded=True)


def test_only_the_families_that_were_asked_for_are_shown(client: httpx2.Client) -> None:
    found = analyze(client, wav(tone(220.0, 1)), families="pitch").json()

    assert found["pitch"]["f0_hz"][50] == pytest.approx(220, rel=0.003)
    assert found["pitch"]["hop_s"] == 0.01
    assert found["timbre"]["absent"]["reason"] == "not_requested"


def test_the_transcript_comes_from_the_host_that_scales_to_zero(client: httpx2.Client) -> None:
    found = analyze(client, DEMO.read_bytes(), families="transcript", language="en").json()

    assert found["transcript"]["absent"] is None
    assert found["transcript"]["segments"][0]["words"]
    assert found["transcript"]["language"] == "en"


def test_a_recording_is_kept_queued_analysed_and_told_of(client: httpx2.Client) -> None:
    recording = upload(client, DEMO.read_bytes())

    accepted = client.post(
        f"/v1/recordings/{recording}/analyses", json={"families": ["pitch", "timbre"]}
    )
    assert accepted.status_code == 202
    analysis_id = accepted.json()["id"]
    events = list(events_of(client, analysis_id))
    found = client.get(accepted.headers["location"]).json()

    assert found["state"] == "done"
    assert found["result"]["pitch"]["f0_hz"]
    assert found["progress"]["pitch"] == found["progress"]["timbre"] == "done"
    assert "done" in events[-1]["event"]
    assert len({event["id"] for event in events}) == len(events)


def events_of(client: httpx2.Client, analysis_id: str) -> Iterator[dict[str, str]]:
    with client.stream("GET", f"/v1/analyses/{analysis_id}/events") as stream:
        event: dict[str, str] = {}
        for line in stream.iter_lines():
            if line.startswith(":"):
                continue
            if not line:
                if event:
                    yield event
                event = {}
                continue
            key, _, value = line.partition(": ")
            event[key] = value


@pytest.mark.parametrize(
    ("encoded", "status", "code"),
    [
        (b"<html><script>alert(1)</script></html>", 415, "unsupported_media"),
        (b"GIF89a" + bytes(100), 415, "unsupported_media"),
        (b"", 422, "empty_audio"),
        (wav(tone(220.0))[:40], 422, None),
    ],
)
def test_what_is_no_take_is_refused_with_a_sentence(
    client: httpx2.Client, encoded: bytes, status: int, code: str | None
) -> None:
    for reply in (
        analyze(client, encoded),
        client.post("/v1/recordings", files={"file": ("take.wav", encoded)}),
    ):
        problem = reply.json()

        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.status_code == problem["status"]
        assert reply.status_code in (status, 415)
        assert len(problem["detail"]) > 10
        assert code is None or problem["code"] in (code, "unsupported_media")


@pytest.mark.parametrize("take", [silence(2), noise(2), tone(50.0, 2), silence(0.1), tone(9.0, 1)])
def test_what_holds_no_voice_is_typed_absences_and_no_score_of_a_voice(
    client: httpx2.Client, take: Audio
) -> None:
    found = measured(client, wav(take))

    assert found.fluency.absent is not None
    assert found.fluency.absent.reason in ("silence", "no_speech", "too_short", "no_syllables")
    assert all(score.value is None for name, score in found.scores.items() if "quality" not in name)


def test_a_long_take_stays_under_a_megabyte(client: httpx2.Client) -> None:
    made = demo_take.take()
    three_minutes = Audio(np.resize(made.samples, 180 * made.sample_rate), made.sample_rate)

    reply = analyze(client, wav(three_minutes), families=MEASURED)

    assert reply.status_code == 200
    assert len(reply.content) < 1_000_000
    assert json.loads(reply.text)["audio"]["duration_s"] == pytest.approx(180)


def test_health_readiness_metrics_and_the_api_description_are_there(
    client: httpx2.Client, platform: Platform
) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert ready["dependencies"]["database"] == ready["dependencies"]["analyzer"] == "ok"
    assert 'vocality_requests_total{method="GET",route="/readyz"' in client.get("/metrics").text
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert "/v1/analyze" in described["paths"]
