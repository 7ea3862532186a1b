"""Schemathesis finds no answer that the OpenAPI document does not promise; `make fuzz` asks more."""

from pathlib import Path

from app.settings import Settings
from tests import fuzz
from tests.asking import operations

CASES = 1000
# They need what no chance finds: a take, a letter's token, an authenticator, a provider.
BEYOND_CHANCE = 25  # operations


def test_no_answer_is_one_that_the_document_does_not_promise(
    servers: Settings, tmp_path: Path
) -> None:
    found = fuzz.run(servers.model_copy(update={"home": tmp_path}), CASES, seed=1)

    assert found.failures == {}, fuzz.shown(found, seed=1)
    assert found.cases >= CASES
    assert found.answers.keys() == {f"{one.method} {one.path}" for one in operations()}
    assert len(found.never_succeeded) <= BEYOND_CHANCE, found.never_succeeded
