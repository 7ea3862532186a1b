"""A passkey answers one challenge, of one page, for one account; copies of it are found out."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest

from app.services import Services
from tests.app import people
from tests.app.authenticator import PRESENT, VERIFIED, Authenticator, Json, told
from tests.app.conftest import Client
from tests.app.people import PASSWORD, bearer
from tests.app.test_problems import check_problem


async def made_by(client: Client, platform: Services, email: str = people.EMAIL) -> Authenticator:
    """The authenticator of somebody who has just added their passkey."""
    await people.account(platform, email)
    shown = bearer(await people.signed_in(client, email))
    authenticator = Authenticator()
    answer = await added(client, shown, authenticator)
    assert answer.status_code == 201, answer.text
    return authenticator


async def added(
    client: Client, shown: dict[str, str], authenticator: Authenticator
) -> httpx2.Response:
    begun = await client.post(
        "/v1/me/factors/passkeys/options", json={"password": PASSWORD}, headers=shown
    )
    passkey = authenticator.make(begun.json()["public_key"])
    body = {"label": "telephone", "passkey": passkey}
    return await client.post("/v1/me/factors/passkeys", json=body, headers=shown)


async def options(client: Client) -> Json:
    found: Json = (await client.post("/v1/auth/passkeys/options")).json()["public_key"]
    return found


async def sign_in(client: Client, passkey: Json) -> httpx2.Response:
    return await client.post("/v1/auth/passkeys", json={"passkey": passkey})


async def test_a_passkey_alone_signs_in(stranger: Client, platform: Services) -> None:
    authenticator = await made_by(stranger, platform)

    answer = await sign_in(stranger, authenticator.show(await options(stranger)))

    assert answer.status_code == 200
    mine = await stranger.get("/v1/me/sessions", headers=bearer(answer.json()))
    assert mine.json()["items"][0]["factors"] == ["passkey"]
    kept = await stranger.get("/v1/me/factors", headers=bearer(answer.json()))
    assert kept.json()["items"][0]["label"] == "telephone"
    assert kept.json()["recovery_codes_left"] == 10


async def test_a_passkey_is_a_second_factor(stranger: Client, platform: Services) -> None:
    authenticator = await made_by(stranger, platform)
    authenticator.flags = PRESENT  # a key that knows nobody's face will do for that
    first = (await people.sign_in(stranger)).json()
    assert first["methods"] == ["passkey", "recovery"]
    between = {"mfa_token": first["mfa_token"]}

    begun = (await stranger.post("/v1/auth/mfa/passkey-options", json=between)).json()
    passkey = authenticator.show(begun["public_key"])
    answer = await stranger.post("/v1/auth/mfa", json={**between, "passkey": passkey})

    assert begun["public_key"]["allowCredentials"][0]["id"] == told(authenticator.name)
    mine = await stranger.get("/v1/me/sessions", headers=bearer(answer.json()))
    assert mine.json()["items"][0]["factors"] == ["password", "passkey"]


def unverified(authenticator: Authenticator) -> None:
    authenticator.flags = PRESENT


def absent(authenticator: Authenticator) -> None:
    authenticator.flags = VERIFIED


def elsewhere(authenticator: Authenticator) -> None:
    authenticator.origin = "http://localhost:8000.evil.example"


def another_port(authenticator: Authenticator) -> None:
    authenticator.origin = "http://localhost:8001"


def another_domain(authenticator: Authenticator) -> None:
    authenticator.domain = "evil.example"


def copied(authenticator: Authenticator) -> None:
    authenticator.counter = 4  # the next is 5, and 5 was seen


def forged(authenticator: Authenticator) -> None:
    authenticator.key = Authenticator().key


def somebody_else(authenticator: Authenticator) -> None:
    authenticator.user = told(b"usr_bob")


def unknown(authenticator: Authenticator) -> None:
    authenticator.name = b"x" * 32


@pytest.mark.parametrize(
    "lie",
    [
        unverified,
        absent,
        elsewhere,
        another_port,
        another_domain,
        copied,
        forged,
        somebody_else,
        unknown,
    ],
    ids=lambda lie: lie.__name__,
)
async def test_a_passkey_that_lies_is_refused(
    stranger: Client, platform: Services, lie: Callable[[Authenticator], None]
) -> None:
    authenticator = await made_by(stranger, platform)
    authenticator.counter = 4
    good = await sign_in(stranger, authenticator.show(await options(stranger)))
    lie(authenticator)

    refused = await sign_in(stranger, authenticator.show(await options(stranger)))

    assert good.status_code == 200
    assert check_problem(refused, 401)["code"] == "invalid_passkey"


async def test_an_answer_is_good_once(stranger: Client, platform: Services) -> None:
    authenticator = await made_by(stranger, platform)
    passkey = authenticator.show(await options(stranger))

    answers = await asyncio.gather(*(sign_in(stranger, passkey) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_a_challenge_answers_what_it_was_made_for(
    stranger: Client, platform: Services
) -> None:
    """One of a sign-in is none of a second step, one of Bob's second step is none of Ada's."""
    authenticator = await made_by(stranger, platform)
    await made_by(stranger, platform, "bob@example.org")
    first = (await people.sign_in(stranger)).json()
    bob = (await people.sign_in(stranger, "bob@example.org")).json()
    of_bob = await stranger.post(
        "/v1/auth/mfa/passkey-options", json={"mfa_token": bob["mfa_token"]}
    )

    for challenge in (await options(stranger), of_bob.json()["public_key"]):
        body = {"mfa_token": first["mfa_token"], "passkey": authenticator.show(challenge)}
        check_problem(await stranger.post("/v1/auth/mfa", json=body), 401)
    for invented in ("", "x" * 43, "\0", "é"):
        passkey = authenticator.show({"challenge": invented})
        check_problem(await sign_in(stranger, passkey), 401)


async def test_a_passkey_is_added_once_and_by_who_began(
    stranger: Client, platform: Services
) -> None:
    authenticator = await made_by(stranger, platform)
    await people.account(platform, "bob@example.org")
    bob = bearer(await people.signed_in(stranger, "bob@example.org"))
    begun = await stranger.post(
        "/v1/me/factors/passkeys/options", json={"password": PASSWORD}, headers=bob
    )
    stolen = {"passkey": replace(authenticator).make(begun.json()["public_key"])}

    again = await stranger.post("/v1/me/factors/passkeys", json=stolen, headers=bob)
    mine = bearer((await sign_in(stranger, authenticator.show(await options(stranger)))).json())
    fresh = {"passkey": Authenticator().make(begun.json()["public_key"])}
    by_another = await stranger.post("/v1/me/factors/passkeys", json=fresh, headers=mine)

    assert check_problem(again, 409)["code"] == "passkey_exists"
    check_problem(by_another, 401)


@pytest.mark.parametrize("lie", [elsewhere, another_domain, absent], ids=lambda lie: lie.__name__)
async def test_a_passkey_of_another_page_is_not_kept(
    stranger: Client, platform: Services, lie: Callable[[Authenticator], None]
) -> None:
    await people.account(platform)
    shown = bearer(await people.signed_in(stranger))
    authenticator = Authenticator()
    lie(authenticator)

    check_problem(await added(stranger, shown, authenticator), 422)


GARBAGE = ("AAAA", "e30", "oQ", "oA", "_" * 500, "W10", "oWNmbXRkbm9uZQ", "v_8")


async def test_garbage_is_no_passkey(stranger: Client, platform: Services) -> None:
    authenticator = await made_by(stranger, platform)
    good = authenticator.show(await options(stranger))

    for part in good["response"]:
        for text in GARBAGE:
            passkey = authenticator.show(await options(stranger))
            passkey["response"][part] = text
            check_problem(await sign_in(stranger, passkey), 401)


async def test_garbage_is_not_kept(stranger: Client, platform: Services) -> None:
    await people.account(platform)
    shown = bearer(await people.signed_in(stranger))
    begun = await stranger.post(
        "/v1/me/factors/passkeys/options", json={"password": PASSWORD}, headers=shown
    )
    passkey = Authenticator().make(begun.json()["public_key"])

    for text in GARBAGE:
        passkey["response"]["attestationObject"] = text
        body = {"passkey": passkey}
        check_problem(await stranger.post("/v1/me/factors/passkeys", json=body, headers=shown), 422)
