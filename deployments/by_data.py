"""Reanalysis by engines of its own: Ray Data over actors that run the graph in one process."""

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayActorError

from app.jobs.schemas import Reanalysing
from app.jobs.selecting import Waiting
from app.jobs.storing import Measured, of_failure
from deployments.hand import Failed, Hand
from deployments.measuring import COLUMNS, Measurer

BLOCK = 16  # recordings: what is lost when an actor dies, and what is written at once
BLOCK_S = 600.0  # of audio in a block, but for a longer take alone
POOL = {"pool": "batch"}  # label of nodes that are there for work like this
LOOK_S = 0.2  # between two looks whether to stop
STEP_BACK = 10  # niceness: those who wait online go first
SUSPECTS = 64  # recordings that are measured alone after an actor was lost

Rows = dict[str, list[str]]
Block = Rows | BaseException | None  # None: that was all


@dataclass(frozen=True, slots=True)
class Room:
    """Where the actors go: how many, and with what."""

    actors: int
    num_gpus: float = 0
    num_cpus: float = 0.5  # admission only
    labels: Mapping[str, str] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """An actor that keeps dying ends the wave, which looks for the take that kills it."""
        named = {"label_selector": dict(self.labels)} if self.labels else {}
        return {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "max_restarts": 1,
            "max_task_retries": 1,
            **named,
        }


def room() -> Room:
    """An actor for every free GPU, of the nodes for batch work where there are such; else for
    every free core."""
    ours = any(
        node["Alive"] and node.get("Labels", {}).items() >= POOL.items() for node in ray.nodes()
    )
    free = ray.available_resources()
    if gpus := int(free.get("GPU", 0)):
        return Room(gpus, num_gpus=1, labels=POOL if ours else None)
    return Room(max(1, int(free.get("CPU", 0))), labels=POOL if ours else None)


async def measure(
    plan: Reanalysing, hand: Hand, left: Sequence[Waiting], room: Room
) -> AsyncGenerator[Sequence[Measured]]:
    """Results a block at a time. A take that ends its actor is found, and fails alone."""
    done = set[str]()
    try:
        async for rows in _streamed(plan, hand, left, room):
            done.update(row.recording_id for row in rows)
            yield rows
    except RayActorError as error:
        hand.log(f"An actor was lost ({type(error).__name__}): the next takes are measured alone.")
        suspects = [recording for recording in left if recording.recording_id not in done]
        async for rows in _one_by_one(plan, hand, suspects[:SUSPECTS], room):
            yield rows


async def _streamed(
    plan: Reanalysing, hand: Hand, left: Sequence[Waiting], room: Room
) -> AsyncGenerator[Sequence[Measured]]:
    """In a thread of its own, so that a word to stop need not wait for the block in hand."""
    blocks: queue.SimpleQueue[Block] = queue.SimpleQueue()
    ended = threading.Event()

    def stream() -> None:
        try:
            for rows in _dataset(plan, hand, left, room).iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                if ended.is_set():
                    return
                blocks.put(rows.to_pydict())
            blocks.put(None)
        except BaseException as error:  # handed over to whoever waits
            blocks.put(error)

    threading.Thread(target=stream, name="ray-data", daemon=True).start()
    try:
        while (found := await _next(blocks, hand)) is not None:
            if isinstance(found, BaseException):
                raise _cause(found)
            yield _read(found)
    finally:
        ended.set()


async def _next(blocks: "queue.SimpleQueue[Block]", hand: Hand) -> Block:
    while True:
        hand.check()
        with suppress(queue.Empty):
            return await asyncio.to_thread(blocks.get, timeout=LOOK_S)


def _dataset(plan: Reanalysing, hand: Hand, left: Sequence[Waiting], room: Room) -> Any:  # noqa: ANN401
    """One block a batch, made here: a dataset of small rows that is read or repartitioned by
    its size ends up as a single block, without parallelism and without a checkpoint."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    tables = [_table(block) for block in blocks(left)]
    return ray.data.from_arrow(tables).map_batches(
        Measurer,
        fn_constructor_args=_arguments(plan, hand, room),
        compute=ray.data.ActorPoolStrategy(
            min_size=min(room.actors, len(tables)), max_size=min(room.actors, len(tables))
        ),
        batch_size=None,
        batch_format="pyarrow",
        **room.options,
    )


def _arguments(plan: Reanalysing, hand: Hand, room: Room) -> tuple[object, ...]:
    return dict(plan.pins), plan.options, room.num_gpus > 0, hand.settings, STEP_BACK


def blocks(left: Sequence[Waiting]) -> Iterator[list[Waiting]]:
    """In their order, each bounded in recordings and in seconds."""
    block: list[Waiting] = []
    for recording in left:
        seconds = sum(one.seconds for one in block) + recording.seconds
        if block and (len(block) == BLOCK or seconds > BLOCK_S):
            yield block
            block = []
        block.append(recording)
    if block:
        yield block


async def _one_by_one(
    plan: Reanalysing, hand: Hand, suspects: Sequence[Waiting], room: Room
) -> AsyncGenerator[Sequence[Measured]]:
    """Until the one is found that ends the actor, if it is among them."""
    options = {**room.options, "max_restarts": 0, "max_task_retries": 0}
    actor: Any = ray.remote(Measurer).options(**options).remote(*_arguments(plan, hand, room))
    for suspect in suspects:
        hand.check()
        try:
            yield _read((await actor.measure.remote(_table([suspect]))).to_pydict())
        except RayActorError:
            why = "actor_lost: Its measurement ended the process twice."
            yield of_failure(suspect.recording_id, suspect.families, why)
            return


def _cause(error: BaseException) -> BaseException:
    """What ended the dataset: the loss of an actor may lie under errors of Ray Data's own."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, RayActorError):
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return error


def _table(block: Sequence[Waiting]) -> pa.Table:
    return pa.table(
        {
            "recording_id": [one.recording_id for one in block],
            "key": [one.key for one in block],
            "families": [",".join(one.families) for one in block],
        }
    )


def _read(rows: Rows) -> list[Measured]:
    """Raises Failed where an actor has no engine for what it was asked."""
    if refusal := next((why for why in rows["refusal"] if why), None):
        raise Failed("model_unavailable", refusal)
    columns = zip(*(rows[name] for name in COLUMNS), strict=True)
    return [Measured(*row) for row in columns]
