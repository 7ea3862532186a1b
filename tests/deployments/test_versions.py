"""Who is answered by which version: sticky, and ramping only ever adds singers."""

import pytest
from pydantic import ValidationError

from app.rollouts.routing import Route
from deployments.versions import VersionTable
from models.results import Family

SINGERS = [f"usr_{i}" for i in range(2000)]
HOSTS = {"1": "pitch--v1", "2": "pitch--v2"}


class Handles:
    """Remembers which applications were connected to."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, application: str) -> str:
        self.made.append(application)
        return application


def table(percent: float) -> VersionTable:
    share = {"2": percent} if percent else {}
    routes: dict[Family, Route] = {"pitch": Route(champion="1", hosts=HOSTS, percent=share)}
    return VersionTable(routes, Handles())  # type: ignore[arg-type]  # names stand for handles


def on_two(percent: float) -> set[str]:
    chosen = table(percent)
    return {singer for singer in SINGERS if chosen.choose("pitch", singer) == "2"}


def test_the_champion_answers_everybody_by_default() -> None:
    assert on_two(0) == set()


@pytest.mark.parametrize("percent", [10, 50, 100])
def test_a_share_is_kept_within_chance(percent: float) -> None:
    assert len(on_two(percent)) / len(SINGERS) == pytest.approx(percent / 100, abs=0.03)


def test_ramping_only_adds_singers() -> None:
    assert on_two(10) < on_two(25) < on_two(60)


def test_a_handle_is_made_once_and_dropped_with_its_application() -> None:
    handles = Handles()
    route = Route(champion="1", hosts=HOSTS)
    versions = VersionTable({"pitch": route}, handles)  # type: ignore[arg-type]

    versions.handle_for("pitch", "1")
    versions.handle_for("pitch", "1")
    versions.replace({"pitch": Route(champion="2", hosts={"2": "pitch--v2"})})

    assert versions.choose("pitch", "usr_1") == "2"
    assert handles.made == ["pitch--v1"]


@pytest.mark.parametrize(
    "route",
    [
        {"champion": "3", "hosts": HOSTS},
        {"champion": "1", "hosts": HOSTS, "percent": {"9": 10}},
        {"champion": "1", "hosts": HOSTS, "percent": {"2": 101}},
        {"champion": "1", "hosts": HOSTS, "percent": {"2": -10}},
        {"champion": "1", "hosts": HOSTS, "percent": {"1": 50}},
        {"champion": "1", "hosts": HOSTS, "weight": {"2": 10}},
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(route: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Route.model_validate(route)
