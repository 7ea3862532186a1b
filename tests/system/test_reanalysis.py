"""A reanalysis on the running platform: asked for, measured by the models that serve, reported."""

import json

import httpx2
import pytest

from cli.watching import events
from tests.signals import tone, wav

pytestmark = pytest.mark.system


def test_recordings_are_measured_again_by_the_models_that_serve(client: httpx2.Client) -> None:
    takes = [wav(tone(hz, 1.0)) for hz in (220.0, 330.0)]
    sent = [client.post("/v1/recordings", files={"file": ("a.wav", take)}) for take in takes]
    names = [reply.json()["id"] for reply in sent]
    body = {"selection": {"ids": names}, "families": ["pitch", "prosody"]}

    asked = client.post("/v1/jobs/reanalysis", json=body)
    assert asked.status_code == 202, asked.text
    job = asked.json()["id"]
    told = list(events(client, job))

    found = client.get(f"/v1/jobs/{job}").json()
    assert told[-1][0] == "done", told
    assert found["progress"]["by"] == "lane"
    assert (found["result"]["results"], found["result"]["failed"]) == (4, 0)
    report = json.loads(client.get(found["result"]["report"]).text)
    medians = [
        measure["after"]["median"]
        for measure in report["families"][0]["measures"]
        if measure["measure"] == "f0_median_hz"
    ]
    assert medians == [pytest.approx(275.0, abs=3.0)]
    assert "f0_median_hz" in client.get(found["result"]["report_html"]).text
