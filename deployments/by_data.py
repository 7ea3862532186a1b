"""Reanalysis by engines of its own: Ray Data over actors that run the graph in one process."""

import asyncio
import os
import queue
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayActorError

from app.jobs.schemas import Pin, Reanalysing
from app.jobs.selecting import Waiting
from app.jobs.storing import Measured, of_failure, of_result
from app.settings import Settings
from app.storage import open_store
from deployments.hand import Failed, Hand
from models import graph
from models.audio import Audio, UnreadableAudio
from models.decode import DecodeLimits, Decoder
from models.engine import Engine, Options
from models.results import Family

BLOCK = 16  # recordings: what is lost when an actor dies, and what is written at once
BLOCK_S = 600.0  # of audio in a block, but for a longer take alone
BATCH_S, GPU_BATCH_S = 60.0, 600.0  # of padded audio measured together
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
    columns = zip(*(rows[name] for name in _COLUMNS), strict=True)
    return [Measured(*row) for row in columns]


_COLUMNS = ("recording_id", "family", "result", "values")


class Measurer:
    """One process with the engines of the plan, on one thread or one GPU. Ray knows it as an actor,
    tests as a plain class."""

    def __init__(
        self,
        pins: Mapping[Family, Pin],
        options: Options,
        on_gpu: bool,
        settings: Settings,
        niceness: int = 0,
    ) -> None:
        from models import engines, weights  # torch comes with them: only the actor pays

        os.nice(niceness)
        engines.limit(1)
        self._batch_s = GPU_BATCH_S if on_gpu else BATCH_S
        self._options = options
        self._storage = open_store(settings)
        self._decoder = Decoder(DecodeLimits(max_seconds=settings.max_seconds))
        self._refusal = ""
        try:
            self._engines = {
                family: _exactly(
                    pin, engines.load(family, pin.version, "cuda" if on_gpu else "cpu", pin.sha256)
                )
                for family, pin in pins.items()
            }
        except weights.WeightsUnavailable as error:
            self._refusal = str(error)

    def __call__(self, table: pa.Table) -> pa.Table:
        return self.measure(table)

    def measure(self, table: pa.Table) -> pa.Table:
        if self._refusal:
            return _answers([], self._refusal)
        asked = table.to_pydict()
        takes = asyncio.run(self._fetch(asked["key"]))
        waits = [
            Waiting(*row[:2], 0.0, tuple(row[2].split(",")))
            for row in zip(asked["recording_id"], asked["key"], asked["families"], strict=True)
        ]
        return _answers(self._measure(waits, takes), "")

    async def _fetch(self, keys: Sequence[str]) -> list[Audio | str]:
        return list(await asyncio.gather(*(self._take(key) for key in keys)))

    async def _take(self, key: str) -> Audio | str:
        """The decoded take, or why there is none."""
        try:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "take"
                await self._storage.download(key, path)
                return await self._decoder.decode(path)
        except UnreadableAudio as error:
            return f"{error.code}: {error.detail}"
        except FileNotFoundError:
            return "recording_missing: The recording's sound is gone."

    def _measure(self, waits: Sequence[Waiting], takes: Sequence[Audio | str]) -> list[Measured]:
        rows: list[Measured] = []
        readable: list[tuple[Waiting, Audio]] = []
        for waiting, take in zip(waits, takes, strict=True):
            if isinstance(take, Audio):
                readable.append((waiting, take))
            else:
                rows += of_failure(waiting.recording_id, waiting.families, take)
        for families in dict.fromkeys(waiting.families for waiting, _ in readable):
            mine = [(waiting, take) for waiting, take in readable if waiting.families == families]
            for batch in _batches(mine, self._batch_s):
                rows += self._analyzed(batch, families)
        return rows

    def _analyzed(
        self, batch: Sequence[tuple[Waiting, Audio]], families: tuple[Family, ...]
    ) -> Iterator[Measured]:
        import torch

        takes = [take for _, take in batch]
        with torch.inference_mode():  # a thread's own
            analyses = graph.analyze(takes, self._engines, families, self._options)
        for (waiting, _), analysis in zip(batch, analyses, strict=True):
            for family in families:
                yield of_result(waiting.recording_id, family, getattr(analysis, family))


def _batches(
    takes: Sequence[tuple[Waiting, Audio]], most_s: float
) -> Iterator[list[tuple[Waiting, Audio]]]:
    """Longest first, as many together as fit with their padding."""
    batch: list[tuple[Waiting, Audio]] = []
    longest = 0.0
    for one in sorted(takes, key=lambda each: -each[1].seconds):
        if batch and longest * (len(batch) + 1) > most_s:
            yield batch
            batch = []
        longest = longest if batch else one[1].seconds
        batch.append(one)
    if batch:
        yield batch


def _exactly(pin: Pin, engine: Engine) -> Engine:
    from models.weights import WeightsUnavailable

    if engine.version.sha256 != pin.sha256:
        raise WeightsUnavailable(
            f"{engine.family} {pin.version} is {engine.version.sha256[:12]} in this release, "
            f"not {pin.sha256[:12]}."
        )
    return engine


def _answers(rows: Sequence[Measured], refusal: str) -> pa.Table:
    """A refusal is a row of its own: raised, it would only be tried again."""
    found = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
    if refusal:
        found = {name: [""] for name in _COLUMNS}
    return pa.table({**found, "refusal": [refusal] * len(found["family"])}, schema=_ANSWERS)


_ANSWERS = pa.schema([(name, pa.large_string()) for name in (*_COLUMNS, "refusal")])
