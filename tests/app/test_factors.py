"""A second factor opens what a password alone does not, and each proof of it is good once."""

import asyncio
import time

import httpx2
import pyotp
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.services import Services
from app.tables import Factor
from app.users import attempts
from tests.app import people
from tests.app.conftest import Client, client_with
from tests.app.people import PASSWORD, bearer
from tests.app.test_problems import check_problem

STEP = 30  # seconds


def code(secret: str, steps: int = 0) -> str:
    """Of an authenticator whose clock is off by so many steps."""
    return pyotp.TOTP(secret).at(int(time.time()) + steps * STEP)


async def enrolled(
    client: Client, platform: Services, email: str = people.EMAIL
) -> tuple[str, list[str]]:
    """Somebody with an authenticator: its secret, and the recovery codes."""
    await people.account(platform, email)
    shown = bearer(await people.signed_in(client, email))
    made = await client.post("/v1/me/factors/totp", json={"password": PASSWORD}, headers=shown)
    assert made.status_code == 201, made.text
    confirming = f"/v1/me/factors/totp/{made.json()['id']}/confirm"
    secret = made.json()["secret"]
    confirmed = await client.post(confirming, json={"code": code(secret)}, headers=shown)
    assert confirmed.status_code == 200, confirmed.text
    return secret, confirmed.json()["recovery_codes"]


async def first_step(client: Client, email: str = people.EMAIL) -> str:
    answer = (await people.sign_in(client, email)).json()
    assert answer["mfa_required"] is True
    assert "access_token" not in answer
    token: str = answer["mfa_token"]
    return token


async def second_step(client: Client, token: str, **proof: object) -> httpx2.Response:
    return await client.post("/v1/auth/mfa", json={"mfa_token": token, **proof})


async def test_an_authenticator_is_set_up_by_a_picture_and_a_code(
    stranger: Client, platform: Services
) -> None:
    await people.account(platform)
    shown = bearer(await people.signed_in(stranger))

    answer = await stranger.post("/v1/me/factors/totp", json={"password": PASSWORD}, headers=shown)
    made = answer.json()
    confirming = f"/v1/me/factors/totp/{made['id']}/confirm"
    wrong = await stranger.post(confirming, json={"code": code(made["secret"], 9)}, headers=shown)
    still = await people.sign_in(stranger)
    right = await stranger.post(confirming, json={"code": code(made["secret"])}, headers=shown)

    assert made["uri"].startswith("otpauth://totp/Nexus%20Vocality:ada%40example.org?secret=")
    assert made["qr_svg"].startswith("<svg")
    assert check_problem(wrong, 422)["code"] == "wrong_code"
    assert "access_token" in still.json()  # what was never confirmed locks nobody out
    assert len(set(right.json()["recovery_codes"])) == 10
    listed = (await stranger.get("/v1/me/factors", headers=shown)).json()
    assert [item["kind"] for item in listed["items"]] == ["totp"]
    assert listed["recovery_codes_left"] == 10
    assert "factor (totp)" in (await people.letters(platform))[-1].body


async def test_a_password_alone_opens_nothing_once_there_is_a_second_factor(
    stranger: Client, platform: Services, real_door: FastAPI
) -> None:
    secret, _ = await enrolled(stranger, platform)

    token = await first_step(stranger)
    opened = await second_step(stranger, token, code=code(secret, 1))

    assert await people.opens(real_door, token) == 401
    assert await people.opens(real_door, opened.json()) == 200
    shown = bearer(opened.json())
    sessions = (await stranger.get("/v1/me/sessions", headers=shown)).json()["items"]
    assert sessions[0]["factors"] == ["password", "totp"]
    check_problem(await second_step(stranger, token, code=code(secret, 2)), 401)  # used up


async def test_a_code_is_good_once_and_for_a_step_to_either_side(
    stranger: Client, platform: Services
) -> None:
    secret, _ = await enrolled(stranger, platform)

    for steps in (-3, -2, 3):
        refused = await second_step(stranger, await first_step(stranger), code=code(secret, steps))
        assert check_problem(refused, 401)["code"] == "wrong_factor"
    now = code(secret, 1)  # good, wherever in its step the clock is
    assert (await second_step(stranger, await first_step(stranger), code=now)).status_code == 200
    check_problem(await second_step(stranger, await first_step(stranger), code=now), 401)
    older = code(secret)
    check_problem(await second_step(stranger, await first_step(stranger), code=older), 401)


async def test_of_two_who_show_the_same_code_at_once_one_gets_in(
    stranger: Client, platform: Services
) -> None:
    secret, _ = await enrolled(stranger, platform)
    tokens = [await first_step(stranger) for _ in range(4)]
    now = code(secret, 1)  # good, wherever in its step the clock is

    answers = await asyncio.gather(*(second_step(stranger, token, code=now) for token in tokens))

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_the_sixth_guess_waits_whatever_else_was_right(
    stranger: Client, platform: Services
) -> None:
    secret, codes = await enrolled(stranger, platform)

    guesses = [
        await second_step(stranger, await first_step(stranger), code=code(secret, 40 + n))
        for n in range(5)
    ]
    sixth = await second_step(stranger, await first_step(stranger), code=code(secret, 1))
    other = await second_step(stranger, await first_step(stranger), recovery_code=codes[0])

    assert {guess.status_code for guess in guesses} == {401}
    assert int(sixth.headers["retry-after"]) == attempts.FIRST_LOCK
    check_problem(sixth, 429)
    check_problem(other, 429)


async def test_guesses_at_once_are_counted_one_by_one(stranger: Client, platform: Services) -> None:
    secret, _ = await enrolled(stranger, platform)
    token = await first_step(stranger)
    wrong = [second_step(stranger, token, code=code(secret, 40 + n)) for n in range(12)]

    answers = [answer.status_code for answer in await asyncio.gather(*wrong)]

    assert (answers.count(401), answers.count(429)) == (5, 7)


async def test_an_address_is_locked_for_all_accounts(stranger: Client, platform: Services) -> None:
    await enrolled(stranger, platform)
    for _ in range(attempts.FREE_ADDRESS):
        await attempts.failed(platform.redis, "ip:127.0.0.1")

    check_problem(await people.sign_in(stranger), 429)


async def test_a_recovery_code_is_good_once_however_it_is_typed(
    stranger: Client, platform: Services
) -> None:
    _, codes = await enrolled(stranger, platform)
    typed = codes[0].upper().replace("-", " ")

    first = await second_step(stranger, await first_step(stranger), recovery_code=typed)
    again = await second_step(stranger, await first_step(stranger), recovery_code=codes[0])

    shown = bearer(first.json())
    check_problem(again, 401)
    listed = await stranger.get("/v1/me/factors", headers=shown)
    assert listed.json()["recovery_codes_left"] == 9
    fresh = await stranger.post(
        "/v1/me/factors/recovery-codes", json={"password": PASSWORD}, headers=shown
    )
    assert len(fresh.json()["recovery_codes"]) == 10
    old = await second_step(stranger, await first_step(stranger), recovery_code=codes[1])
    check_problem(old, 401)


async def test_after_a_password_reset_the_second_factor_is_still_asked_for(
    stranger: Client, platform: Services
) -> None:
    secret, _ = await enrolled(stranger, platform)
    await stranger.post("/v1/auth/password/forgot", json={"email": people.EMAIL})
    body = {"token": await people.link(platform), "password": "another song for ten"}

    assert (await stranger.post("/v1/auth/password/reset", json=body)).status_code == 204

    answer = await people.sign_in(stranger, password="another song for ten")
    assert answer.json()["methods"] == ["totp", "recovery"]
    token = answer.json()["mfa_token"]
    assert (await second_step(stranger, token, code=code(secret, 1))).status_code == 200


async def test_factors_are_changed_by_who_proves_to_be_the_owner(
    stranger: Client, platform: Services, real_door: FastAPI
) -> None:
    secret, _ = await enrolled(stranger, platform)
    opened = await second_step(stranger, await first_step(stranger), code=code(secret, 1))
    await people.account(platform, "bob@example.org")
    theirs = bearer(await people.signed_in(stranger, "bob@example.org"))
    async with client_with(real_door, opened.json()["access_token"]) as ada:
        factor = (await ada.get("/v1/me/factors")).json()["items"][0]["id"]
        removing = f"/v1/me/factors/{factor}/remove"

        for body in ({}, {"password": "wrong"}):
            refused = check_problem(await ada.post(removing, json=body), 401)
            assert refused["code"] == "reauthentication_needed"
        stolen = await stranger.post(removing, json={"password": PASSWORD}, headers=theirs)
        check_problem(stolen, 404)
        second = await ada.post("/v1/me/factors/totp", json={"password": PASSWORD})
        assert check_problem(second, 409)["code"] == "totp_exists"
        assert (await ada.post(removing, json={"password": PASSWORD})).status_code == 204
        left = (await ada.get("/v1/me/factors")).json()

    assert left == {"items": [], "recovery_codes_left": 0}
    assert "access_token" in (await people.sign_in(stranger)).json()


@pytest.mark.parametrize(
    "proof",
    [{}, {"code": "12345"}, {"code": "१२३४५६"}, {"code": "123456", "recovery_code": "abcdefgh"}],
)
async def test_a_second_step_has_one_proof(stranger: Client, proof: dict[str, str]) -> None:
    check_problem(await second_step(stranger, "x", **proof), 422)


async def test_the_secret_in_the_database_opens_nothing_by_itself(
    stranger: Client, platform: Services
) -> None:
    secret, codes = await enrolled(stranger, platform)
    async with platform.transaction() as session:
        rows = (await session.scalars(select(Factor.secret))).all()

    assert not {secret, *codes, *(c.replace("-", "") for c in codes)} & set(rows)
