"""One's own account: profile, preferences, consents, and what one did."""

from collections.abc import Callable

import httpx2
import pytest

from app.analyses import queue
from app.services import Services
from app.tables import Account
from tests.app.test_flow import TAKE, queued, uploaded
from tests.fakes import FakeAnalyzer

Client = httpx2.AsyncClient
VERSION = {"text_version": "2026-11"}


@pytest.fixture(autouse=True)
async def accounts(platform: Services) -> None:
    async with platform.transaction() as session:
        for name in ("ada", "bob"):
            session.add(Account(id=f"usr_{name}", email=f"{name}@example.org"))


async def test_what_is_named_changes_and_what_is_left_out_stays(ada: Client, bob: Client) -> None:
    first = {
        "profile": {"display_name": "Ada", "languages": ["pt", "en"], "voice_type": "mezzo_soprano"}
    }
    second = {"profile": {"voice_type": None}, "preferences": {"notifications": {"practice": True}}}

    await ada.patch("/v1/me", json=first)
    await ada.patch("/v1/me", json=second)

    me = (await ada.get("/v1/me")).json()
    assert me["id"] == "usr_ada"
    assert (me["email"], me["email_verified"]) == ("ada@example.org", False)
    assert (me["profile"]["display_name"], me["profile"]["languages"]) == ("Ada", ["pt", "en"])
    assert me["profile"]["voice_type"] is None
    assert me["preferences"]["notifications"] == {
        "analyses": False, "practice": True, "coaching": True, "community": False,
    }  # fmt: skip
    assert (await bob.get("/v1/me")).json()["profile"]["display_name"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"roles": ["admin"]},
        {"id": "usr_bob"},
        {"profile": {"score": 100}},
        {"profile": {"verified": True}},
        {"privacy": {"retention_days": 1}},
        {"profile": {"display_name": "two\nlines"}},
        {"profile": {"timezone": "Europe/Atlantis"}},
        {"profile": {"languages": ["../etc"]}},
        {"preferences": {"a4_hz": 467}},
        {"preferences": {"a4_hz": None}},
    ],
    ids=str,
)
async def test_what_is_not_ones_own_to_say_changes_nothing(ada: Client, body: object) -> None:
    before = await ada.get("/v1/me")

    answer = await ada.patch("/v1/me", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    after = await ada.get("/v1/me")
    assert (after.json(), after.headers["ETag"]) == (before.json(), before.headers["ETag"])


async def test_a_change_in_sight_of_another_state_is_refused(ada: Client) -> None:
    seen = (await ada.get("/v1/me")).headers["ETag"]
    body = {"preferences": {"units": "imperial"}}

    first = await ada.patch("/v1/me", json=body, headers={"If-Match": seen})
    late = await ada.patch("/v1/me", json=body, headers={"If-Match": f'"x", {seen}'})
    weak = await ada.patch("/v1/me", json=body, headers={"If-Match": f"W/{first.headers['ETag']}"})
    private = await ada.put("/v1/me/privacy", json={}, headers={"If-Match": seen})
    whatever = await ada.patch("/v1/me", json=body, headers={"If-Match": "*"})

    assert (first.status_code, whatever.status_code) == (200, 200)
    for refused in (late, weak, private):
        assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")


async def test_analyses_that_name_no_a4_take_ones_own(
    ada: Client, platform: Services, analyzer: FakeAnalyzer
) -> None:
    await ada.patch("/v1/me", json={"preferences": {"a4_hz": 442}})
    take = await uploaded(ada)

    own = await ada.post(f"/v1/recordings/{take}/analyses")
    named = await ada.post(f"/v1/recordings/{take}/analyses", json={"options": {"a4_hz": 440}})
    await ada.post("/v1/analyze", files={"file": ("a.wav", TAKE)})

    assert own.json()["options"]["a4_hz"] == 442
    assert named.json()["options"]["a4_hz"] == 440
    assert analyzer.requests[-1].options.a4_hz == 442


async def test_only_analysis_is_consented_to_unasked_and_all_that_was_said_is_kept(
    ada: Client, bob: Client
) -> None:
    at_first = (await ada.get("/v1/me/consents")).json()["items"]
    assert {c["purpose"]: c["given"] for c in at_first} == {
        "analysis": True, "training": False, "community": False,
    }  # fmt: skip

    for given in (True, True, False):
        said = await ada.put("/v1/me/consents/training", json={"given": given, **VERSION})
        assert (said.status_code, said.json()["given"]) == (200, given)

    changes = (await ada.get("/v1/me/consent-changes", params={"limit": 1})).json()
    assert [c["given"] for c in changes["items"]] == [False]
    rest = await ada.get("/v1/me/consent-changes", params={"cursor": changes["next_cursor"]})
    assert [(c["given"], c["text_version"]) for c in rest.json()["items"]] == [(True, "2026-11")]
    foreign = await bob.get("/v1/me/consent-changes", params={"cursor": changes["next_cursor"]})
    assert foreign.json()["code"] == "bad_cursor"


async def test_an_answer_to_a_text_that_has_changed_is_no_answer(ada: Client) -> None:
    answer = await ada.put(
        "/v1/me/consents/training", json={"given": True, "text_version": "2020-01"}
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "text_changed")
    assert (await ada.get("/v1/me/consent-changes")).json()["items"] == []


async def test_who_takes_back_the_consent_to_analysis_is_not_analysed_any_more(
    ada: Client, bob: Client, platform: Services
) -> None:
    take = await uploaded(ada)
    waiting, theirs = await queued(ada, take), await queued(bob, await uploaded(bob))

    await ada.put("/v1/me/consents/analysis", json={"given": False, **VERSION})

    assert (await ada.get(f"/v1/analyses/{waiting}")).json()["state"] == "cancelled"
    assert (await bob.get(f"/v1/analyses/{theirs}")).json()["state"] == "queued"
    for refused in (
        await ada.post(f"/v1/recordings/{take}/analyses"),
        await ada.post("/v1/analyze", files={"file": ("a.wav", TAKE)}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "consent_withdrawn")
        assert "/v1/me/consents/analysis" in refused.json()["detail"]

    await ada.put("/v1/me/consents/analysis", json={"given": True, **VERSION})
    await queued(ada, take)


async def test_a_running_analysis_is_not_finished_without_consent(
    ada: Client, platform: Services
) -> None:
    analysis = await queued(ada, await uploaded(ada))
    async with platform.transaction() as session:
        [claim] = await queue.claim(session, 1, lease_s=5, max_attempts=3)

    await ada.put("/v1/me/consents/analysis", json={"given": False, **VERSION})

    async with platform.transaction() as session:
        assert not await queue.finish(session, claim, {})
    assert (await ada.get(f"/v1/analyses/{analysis}")).json()["state"] == "cancelled"


async def test_everybody_reads_what_they_did_and_nothing_of_others(
    ada: Client, bob: Client
) -> None:
    for purpose in ("training", "community"):
        await ada.put(f"/v1/me/consents/{purpose}", json={"given": True, **VERSION})

    noted = (await ada.get("/v1/me/audit")).json()["items"]

    assert [(n["action"], n["details"]["purpose"]) for n in noted] == [
        ("consent.given", "community"), ("consent.given", "training"),
    ]  # fmt: skip
    assert (await bob.get("/v1/me/audit")).json()["items"] == []


async def test_somebody_whose_account_is_gone_is_nobody(
    as_user: Callable[[str], Client], platform: Services
) -> None:
    async with platform.transaction() as session:
        await session.delete(await session.get_one(Account, "usr_ada"))

    answer = await as_user("usr_ada").get("/v1/me")

    assert (answer.status_code, answer.json()["code"]) == (401, "account_deleted")
