"""The rollout drill at laptop size: every step under load from another process, no request lost."""

import pytest

from cli.drills import run
from cli.drills.drill import Outcome
from cli.drills.run import STEPS

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {outcome.drill: outcome for outcome in run.drills(watch_s=3.0, effect_s=3.0)}


@pytest.mark.parametrize("name", STEPS)
def test_it_holds_and_no_request_fails(outcomes: dict[str, Outcome], name: str) -> None:
    found = outcomes[name]

    assert found.failed == 0, found
    assert found.held, found
