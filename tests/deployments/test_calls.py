"""Calls between replicas: a dead one is asked again, faults come back as themselves."""

import asyncio

import pytest
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError

from app.analyzer import DeadlineExceeded, Overloaded, ReplicaLost
from deployments.calls import ask
from models.audio import UnreadableAudio


class Callee:
    """Fails with each error in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "an answer"


async def test_a_dead_replica_is_asked_once_more() -> None:
    callee = Callee(RayActorError())

    assert await ask(callee, "pitch", 1) == "an answer"
    assert callee.calls == 2


async def test_a_question_that_costs_two_replicas_is_put_no_more() -> None:
    callee = Callee(RayActorError(), RayActorError())

    with pytest.raises(ReplicaLost):
        await ask(callee, "pitch", 1)
    assert callee.calls == 2


async def test_an_error_of_the_callee_comes_back_as_itself() -> None:
    wrapped = RayTaskError("analyze", "a long trace", UnreadableAudio("too_long", "Too long."))

    with pytest.raises(UnreadableAudio) as raised:
        await ask(Callee(wrapped.as_instanceof_cause()), "the conductor", 1)

    assert type(raised.value) is UnreadableAudio
    assert str(raised.value) == "Too long."
    assert raised.value.code == "too_long"


async def test_a_line_that_is_full_is_overload() -> None:
    with pytest.raises(Overloaded):
        await ask(Callee(BackPressureError(num_queued_requests=9, max_queued_requests=8)), "x", 1)


async def test_a_callee_that_hangs_is_left_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.calls.GRACE_S", 0.05)

    with pytest.raises(DeadlineExceeded):
        await ask(lambda: asyncio.sleep(60), "x", 0.05)
