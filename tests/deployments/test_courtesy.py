"""Bulk takes wait for interactive ones, but not for ever."""

import asyncio

import pytest

from deployments import courtesy
from deployments.courtesy import Courtesy


async def test_a_bulk_take_begins_when_nobody_waits_any_more() -> None:
    given, order = Courtesy(), list[str]()

    async def take(lane: str, seconds: float) -> None:
        async with given.given(lane):  # type: ignore[arg-type]
            order.append(lane)
            await asyncio.sleep(seconds)
            order.append(f"{lane} done")

    await asyncio.gather(take("interactive", 0.05), take("bulk", 0.0), take("interactive", 0.1))

    assert order[-2:] == ["bulk", "bulk done"]


async def test_steady_interactive_load_does_not_starve_bulk_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(courtesy, "LONGEST_S", 0.05)
    given, began = Courtesy(), list[str]()

    async with given.given("interactive"):
        async with given.given("bulk"):
            began.append("bulk")
        assert began == ["bulk"]
