"""Measuring for a reanalysis: one process that fetches, decodes and measures a block at a time."""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from app.jobs.schemas import Pin
from app.jobs.selecting import Waiting
from app.jobs.storing import Measured, of_failure, of_result
from app.settings import Settings
from app.storage import Storage, open_store
from models import graph
from models.audio import Audio, UnreadableAudio
from models.decode import DecodeLimits, Decoder
from models.engine import Engine, Options
from models.results import Family

BATCH_S, GPU_BATCH_S = 60.0, 600.0  # of padded audio measured together
COLUMNS = ("recording_id", "family", "result", "values")  # of the answers, as Measured has them


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
        takes = asyncio.run(_fetch(self._storage, self._decoder, asked["key"]))
        waits = [
            Waiting(*row[:2], 0.0, tuple(row[2].split(",")))
            for row in zip(asked["recording_id"], asked["key"], asked["families"], strict=True)
        ]
        return _answers(self._measure(waits, takes), "")

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


# Functions, not methods: a class with a coroutine would be an async actor to Ray, on whose loop
# nothing may wait.
async def _fetch(storage: Storage, decoder: Decoder, keys: Sequence[str]) -> list[Audio | str]:
    return list(await asyncio.gather(*(_take(storage, decoder, key) for key in keys)))


async def _take(storage: Storage, decoder: Decoder, key: str) -> Audio | str:
    """The decoded take, or why there is none."""
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "take"
            await storage.download(key, path)
            return await decoder.decode(path)
    except UnreadableAudio as error:
        return f"{error.code}: {error.detail}"
    except FileNotFoundError:
        return "recording_missing: The recording's sound is gone."


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
    found = {name: [getattr(row, name) for row in rows] for name in COLUMNS}
    if refusal:
        found = {name: [""] for name in COLUMNS}
    return pa.table({**found, "refusal": [refusal] * len(found["family"])}, schema=_ANSWERS)


_ANSWERS = pa.schema([(name, pa.large_string()) for name in (*COLUMNS, "refusal")])
