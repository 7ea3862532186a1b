"""Consent is asked now: given, taken back, given again."""

from app import consents
from app.services import Services


async def standing(platform: Services, *owners: str) -> set[str]:
    async with platform.transaction() as session:
        return await consents.consenting(session, owners, "training")


async def test_nobody_consents_unasked(platform: Services) -> None:
    assert await standing(platform, "usr_ada", "usr_rosa") == set()


async def test_consent_holds_until_it_is_withdrawn_and_may_be_given_again(
    platform: Services,
) -> None:
    for _ in range(2):  # safe to repeat
        async with platform.transaction() as session:
            await consents.grant(session, "usr_ada", "training")
    assert await standing(platform, "usr_ada", "usr_rosa") == {"usr_ada"}

    for _ in range(2):
        async with platform.transaction() as session:
            await consents.withdraw(session, "usr_ada", "training")
    assert await standing(platform, "usr_ada") == set()

    async with platform.transaction() as session:
        await consents.grant(session, "usr_ada", "training")
    assert await standing(platform, "usr_ada") == {"usr_ada"}


async def test_only_those_who_are_asked_about_are_named(platform: Services) -> None:
    async with platform.transaction() as session:
        await consents.grant(session, "usr_ada", "training")

    assert await standing(platform, "usr_rosa") == set()
    assert await standing(platform) == set()
