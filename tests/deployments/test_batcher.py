"""Takes wait in line while a batch runs, and leave together, in order, each with its own fate."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from app.analyzer import DeadlineExceeded, Overloaded
from deployments.batcher import Batcher, Limits
from models.engine import Task
from models.results import Activity, Family, FamilyResult
from tests.signals import silence


def take(seconds: float = 1.0) -> Task:
    return Task(silence(seconds))


@dataclass
class Device:
    """An engine that waits at a gate, and remembers what it was given."""

    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[tuple[Family, list[float]]] = field(default_factory=list)

    def run(self, family: Family, tasks: list[Task]) -> list[FamilyResult]:
        self.batches.append((family, [task.audio.seconds for task in tasks]))
        assert self.gate.wait(10)
        return [Activity(conditions={"seconds": task.audio.seconds}) for task in tasks]


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def started(device: Device, batches: int = 1) -> None:
    while len(device.batches) < batches:
        await asyncio.sleep(0.001)


async def test_an_idle_host_runs_a_take_at_once(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    device.gate.set()
    batcher = Batcher(device.run, Limits(), executor)

    answer = await batcher.submit("activity", take(2.0))

    assert answer.conditions["seconds"] == 2.0
    assert device.batches == [("activity", [2.0])]


async def test_takes_that_came_while_it_was_busy_leave_as_one_batch_in_order(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    batcher = Batcher(device.run, Limits(), executor)
    first = asyncio.create_task(batcher.submit("activity", take(1.0)))
    await started(device)
    rest = [asyncio.create_task(batcher.submit("activity", take(s))) for s in (1.1, 1.2, 1.3)]
    await asyncio.sleep(0.01)

    device.gate.set()
    answers = await asyncio.gather(first, *rest)

    assert [a.conditions["seconds"] for a in answers] == [1.0, 1.1, 1.2, 1.3]
    assert device.batches[1] == ("activity", [1.1, 1.2, 1.3])


async def test_a_batch_is_bounded_by_seconds_of_padded_audio(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    device.gate.set()
    batcher = Batcher(device.run, Limits(batch_seconds=10), executor)

    await asyncio.gather(*(batcher.submit("activity", take(4.0)) for _ in range(5)))

    assert [len(seconds) for _, seconds in device.batches] == [2, 2, 1]


async def test_a_take_longer_than_a_batch_still_runs_alone(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    device.gate.set()
    batcher = Batcher(device.run, Limits(batch_seconds=10), executor)

    answers = await asyncio.gather(*(batcher.submit("activity", take(s)) for s in (1, 60, 1)))

    assert len(answers) == 3
    assert [seconds for _, seconds in device.batches] == [[1.0], [60.0], [1.0]]


async def test_interactive_takes_go_first_but_bulk_takes_do_not_starve(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    batcher = Batcher(device.run, Limits(batch_items=1, bulk_patience_s=0.2), executor)
    blocker = asyncio.create_task(batcher.submit("activity", take(9.0)))
    await started(device)
    bulk = asyncio.create_task(batcher.submit("activity", take(1.0), "bulk"))
    await asyncio.sleep(0.01)
    early = asyncio.create_task(batcher.submit("activity", take(2.0)))
    await asyncio.sleep(0.3)
    late = asyncio.create_task(batcher.submit("activity", take(3.0)))
    await asyncio.sleep(0.01)

    device.gate.set()
    await asyncio.gather(blocker, bulk, early, late)

    assert [seconds for _, seconds in device.batches] == [[9.0], [2.0], [1.0], [3.0]]


async def test_a_bulk_take_does_not_slip_in_between_two_families_of_an_interactive_one(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    device.gate.set()
    batcher = Batcher(device.run, Limits(), executor)

    with batcher.admitted(2.0):
        bulk = asyncio.create_task(batcher.submit("activity", take(1.0), "bulk"))
        await asyncio.sleep(0.01)
        await batcher.submit("pitch", take(2.0))
        await batcher.submit("timbre", take(2.0))
    await bulk

    assert [family for family, _ in device.batches] == ["pitch", "timbre", "activity"]


async def test_a_cancelled_take_leaves_the_line_without_running(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    batcher = Batcher(device.run, Limits(), executor)
    blocker = asyncio.create_task(batcher.submit("activity", take(1.0)))
    await started(device)
    unwanted = asyncio.create_task(batcher.submit("activity", take(2.0)))
    wanted = asyncio.create_task(batcher.submit("activity", take(3.0)))
    await asyncio.sleep(0.01)

    unwanted.cancel()
    device.gate.set()
    await asyncio.gather(blocker, wanted)

    assert [seconds for _, seconds in device.batches] == [[1.0], [3.0]]


async def test_a_take_whose_time_runs_out_in_line_says_so_and_never_runs(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    batcher = Batcher(device.run, Limits(), executor)
    blocker = asyncio.create_task(batcher.submit("activity", take(1.0)))
    await started(device)

    with pytest.raises(DeadlineExceeded):
        await batcher.submit("activity", take(2.0), timeout_s=0.05)

    device.gate.set()
    await blocker
    assert [seconds for _, seconds in device.batches] == [[1.0]]


async def test_a_full_host_refuses_and_says_when_to_come_back(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    batcher = Batcher(device.run, Limits(waiting_seconds=5), executor)

    with batcher.admitted(4.0):
        with pytest.raises(Overloaded) as refusal, batcher.admitted(2.0):
            pass
        with batcher.admitted(1.0):
            pass

    assert refusal.value.retry_after_s >= 1
    assert batcher.admitted_seconds == 0


async def test_one_take_alone_is_let_in_however_long(
    device: Device, executor: ThreadPoolExecutor
) -> None:
    batcher = Batcher(device.run, Limits(waiting_seconds=5), executor)

    with batcher.admitted(1800.0), pytest.raises(Overloaded), batcher.admitted(1.0):
        pass


async def test_a_batch_that_breaks_tells_everybody_in_it_and_the_next_one_runs(
    executor: ThreadPoolExecutor,
) -> None:
    broken = [True]

    def run(family: Family, tasks: list[Task]) -> list[FamilyResult]:
        if broken.pop() if broken else False:
            raise RuntimeError("out of memory")
        return [Activity() for _ in tasks]

    batcher = Batcher(run, Limits(), executor)

    with pytest.raises(RuntimeError, match="out of memory"):
        await batcher.submit("activity", take())
    assert await batcher.submit("activity", take()) == Activity()
