"""Changing how one signs in: forgotten passwords, new ones, new addresses."""

from datetime import timedelta

import httpx2
import pyotp
import pytest
from sqlalchemy import select, update

from app.services import Services
from app.tables import AuditEntry, SignIn
from tests.app.conftest import Client
from tests.app.people import (
    EMAIL,
    PASSWORD,
    account,
    bearer,
    changed,
    letters,
    link,
    opens,
    refresh,
    replica,
    sign_in,
    signed_in,
)

NEW = "another song, for ten voices"
NEW_EMAIL = "ada@opera.example"


async def forgot(client: Client, email: str = EMAIL) -> httpx2.Response:
    return await client.post("/v1/auth/password/forgot", json={"email": email})


async def reset(client: Client, token: str, password: str = NEW) -> httpx2.Response:
    body = {"token": token, "password": password}
    return await client.post("/v1/auth/password/reset", json=body)


async def test_a_forgotten_password_is_set_anew_once_and_every_device_is_out(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    pair = await signed_in(stranger)
    await forgot(stranger)
    first = await link(platform)
    await forgot(stranger)
    token = await link(platform)

    assert (await reset(stranger, token, "short")).status_code == 422
    assert (await reset(stranger, token, "P4ssw0rd!")).json()["code"] == "weak_password"
    assert (await reset(stranger, token)).status_code == 204

    assert (await reset(stranger, token)).status_code == 401
    assert (await reset(stranger, first)).status_code == 401  # the other letter is dead too
    assert await opens(replica(platform), pair) == 401
    assert (await refresh(stranger, pair)).status_code == 401
    assert (await sign_in(stranger)).status_code == 401
    assert (await sign_in(stranger, password=NEW)).status_code == 200
    assert (await letters(platform))[-1].subject == "Your password was changed"


async def test_a_reset_does_not_get_around_the_second_factor(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    headers = bearer(await signed_in(stranger))
    await with_totp(stranger, headers)
    await forgot(stranger)

    await reset(stranger, await link(platform))

    answer = (await sign_in(stranger, password=NEW)).json()
    assert answer["mfa_required"] is True
    assert "totp" in answer["methods"]
    assert "access_token" not in answer


async def with_totp(client: Client, headers: dict[str, str]) -> None:
    factors = "/v1/me/factors/totp"
    made = (await client.post(factors, headers=headers, json={"password": PASSWORD})).json()
    code = pyotp.TOTP(made["secret"]).now()
    path = f"{factors}/{made['id']}/confirm"
    done = await client.post(path, headers=headers, json={"code": code})
    assert done.status_code == 200, done.text


async def test_a_reset_ends_all_that_somebody_else_may_have_begun(
    platform: Services, stranger: Client
) -> None:
    """Whoever knew the old password keeps no way in: no address, no link, no key of theirs."""
    await account(platform)
    thief = bearer(await signed_in(stranger))
    asked = {"email": "thief@example.org", "password": PASSWORD}
    await stranger.post("/v1/me/email", json=asked, headers=thief)
    proof = {"password": PASSWORD}
    takeout = (await stranger.post("/v1/me/takeout", json=proof, headers=thief)).json()["url"]
    wanted = {"name": "harvest", "scopes": ["recordings:read"]}
    key = (await stranger.post("/v1/me/api-keys", json=wanted, headers=thief)).json()["key"]
    before = (await stranger.get("/v1/recordings", headers=bearer(key))).status_code
    await forgot(stranger)

    assert (await reset(stranger, await link(platform))).status_code == 204

    confirmed = {"token": await link(platform, "thief@example.org")}
    assert (await stranger.post("/v1/auth/email/confirm", json=confirmed)).status_code == 401
    assert (await stranger.get(takeout)).status_code == 401
    after = (await stranger.get("/v1/recordings", headers=bearer(key))).status_code
    assert (before, after) == (200, 401)
    subjects = [letter.subject for letter in await letters(platform)]
    assert subjects[0] == "A key of your account was made"


async def test_letters_about_a_forgotten_password_are_few(
    platform: Services, stranger: Client
) -> None:
    await account(platform)

    answers = [await forgot(stranger) for _ in range(8)]

    assert {answer.status_code for answer in answers} == {202}
    assert len(await letters(platform)) == 5


async def test_a_new_password_needs_the_old_one_and_signs_the_other_devices_out(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    here, elsewhere = await signed_in(stranger), await signed_in(stranger)

    async def change(**body: str) -> httpx2.Response:
        return await stranger.post("/v1/me/password", headers=bearer(here), json=body)

    assert (await change(password=NEW)).json()["code"] == "reauthentication_needed"
    wrong = await change(password=NEW, current_password="is it this one?")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "reauthentication_needed")
    weak = await change(password="qwertyuiop", current_password=PASSWORD)
    assert weak.json()["code"] == "weak_password"
    assert (await change(password=NEW, current_password=PASSWORD)).status_code == 204

    assert (await refresh(stranger, elsewhere)).status_code == 401
    again = await refresh(stranger, here)
    assert again.status_code == 200
    door = replica(platform)
    assert [await opens(door, pair) for pair in (here, elsewhere, again.json())] == [401, 401, 200]
    assert (await sign_in(stranger, password=NEW)).status_code == 200


async def test_whoever_changed_the_password_goes_on_at_once(
    platform: Services, stranger: Client
) -> None:
    """The door remembers an older epoch for some seconds: a newer one is good all the same."""
    await account(platform)
    pair = await signed_in(stranger)
    body = {"password": NEW, "current_password": PASSWORD}
    await stranger.post("/v1/me/password", headers=bearer(pair), json=body)

    again = (await refresh(stranger, pair)).json()

    assert (await stranger.get("/v1/me/sessions", headers=bearer(again))).status_code == 200


async def test_guesses_at_the_old_password_are_counted(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    headers = bearer(await signed_in(stranger))

    guesses = [
        await stranger.post(
            "/v1/me/password",
            headers=headers,
            json={"password": NEW, "current_password": f"guess number {n}"},
        )
        for n in range(6)
    ]

    assert [answer.status_code for answer in guesses] == [401] * 5 + [429]


async def test_a_new_address_is_proved_and_the_old_one_is_told(
    platform: Services, stranger: Client
) -> None:
    user_id = await account(platform)
    headers = bearer(await signed_in(stranger))
    await forgot(stranger)
    to_the_old_address = await link(platform)

    asked = await stranger.post(
        "/v1/me/email", headers=headers, json={"email": NEW_EMAIL, "password": PASSWORD}
    )
    assert asked.status_code == 202
    assert (await sign_in(stranger, NEW_EMAIL)).status_code == 401  # not yet
    body = {"token": await link(platform, NEW_EMAIL)}
    assert (await stranger.post("/v1/auth/email/confirm", json=body)).status_code == 204

    assert (await stranger.post("/v1/auth/email/confirm", json=body)).status_code == 401
    assert (await sign_in(stranger, EMAIL)).status_code == 401
    assert (await sign_in(stranger, NEW_EMAIL)).status_code == 200
    assert (await reset(stranger, to_the_old_address)).status_code == 401
    assert (await letters(platform))[-1].subject == "Your e-mail address was changed"
    async with platform.transaction() as session:
        actions = select(AuditEntry.action).where(AuditEntry.actor_id == user_id)
        assert "user.email" in set(await session.scalars(actions))


async def test_an_address_that_is_taken_is_not_told_to_whoever_asks_for_it(
    platform: Services, stranger: Client
) -> None:
    await account(platform)
    await account(platform, "bob@example.org")
    headers = bearer(await signed_in(stranger))

    async def ask(email: str) -> tuple[int, str]:
        body = {"email": email, "password": PASSWORD}
        answer = await stranger.post("/v1/me/email", headers=headers, json=body)
        return answer.status_code, answer.text

    assert await ask("bob@example.org") == await ask("nobody@example.org")
    subjects = [letter.subject for letter in await letters(platform, "bob@example.org")]
    assert subjects == ["Your address was asked for"]


async def test_of_two_who_prove_one_address_the_second_is_refused(
    platform: Services, stranger: Client
) -> None:
    for email in (EMAIL, "bob@example.org"):
        await account(platform, email)
        headers = bearer(await signed_in(stranger, email))
        body = {"email": NEW_EMAIL, "password": PASSWORD}
        await stranger.post("/v1/me/email", headers=headers, json=body)

    async def confirm(number: int) -> int:
        token = (await letters(platform, NEW_EMAIL))[number].body.partition("#")[2].split()[0]
        return (await stranger.post("/v1/auth/email/confirm", json={"token": token})).status_code

    assert [await confirm(0), await confirm(1)] == [204, 409]


async def test_without_a_password_a_fresh_sign_in_is_proof_and_an_old_one_is_not(
    platform: Services, stranger: Client
) -> None:
    user_id = await account(platform)
    pair = await signed_in(stranger)
    await changed(platform, user_id, password_hash=None)

    async def change() -> httpx2.Response:
        body = {"password": NEW}
        return await stranger.post("/v1/me/password", headers=bearer(pair), json=body)

    await aged(platform, minutes=6)
    assert (await change()).json()["code"] == "reauthentication_needed"
    await aged(platform, minutes=-6)
    assert (await change()).status_code == 204
    assert (await sign_in(stranger, password=NEW)).status_code == 200


async def aged(platform: Services, minutes: float) -> None:
    async with platform.transaction() as session:
        since = SignIn.created_at - timedelta(minutes=minutes)
        await session.execute(update(SignIn).values(created_at=since))


@pytest.mark.parametrize("email", ["", "ada", "a@b@c", "ada@example.org\r\nBcc: x@y", "a" * 300])
async def test_what_is_no_address_is_refused(stranger: Client, email: str) -> None:
    assert (await forgot(stranger, email)).status_code == 422
