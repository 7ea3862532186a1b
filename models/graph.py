"""The graph: which family needs which, as data, and what runs it in one process. No torch."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from models import feedback as advising
from models import scores as scoring
from models.audio import ANALYSIS_RATE, Audio
from models.engine import NOT_FINITE, Engine, NotFinite, Options, Task
from models.results import (
    Analysis,
    AudioReport,
    Family,
    FamilyResult,
    Number,
    Pitch,
    Reason,
    absent,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    needs: tuple[Family, ...] = ()  # computed for it, asked for or not
    uses: tuple[Family, ...] = ()  # taken into account when the take has them anyway


GRAPH: Mapping[Family, Node] = {
    "activity": Node(),
    "pitch": Node(),
    "emotion": Node(),
    "transcript": Node(),
    "timbre": Node(needs=("pitch",)),
    "clarity": Node(needs=("activity", "pitch", "timbre"), uses=("transcript",)),
    "prosody": Node(needs=("activity", "pitch")),
    "fluency": Node(needs=("activity", "pitch"), uses=("transcript",)),
}
FAMILIES: tuple[Family, ...] = tuple(GRAPH)


def closure(families: Iterable[Family]) -> tuple[Family, ...]:
    """The families and all they need, in an order that can be computed."""
    wanted: set[Family] = set()
    stack = list(families)
    while stack:
        family = stack.pop()
        if family not in wanted:
            wanted.add(family)
            stack.extend(GRAPH[family].needs)
    return tuple(family for family in GRAPH if family in wanted)


def inputs_of(family: Family, wanted: Iterable[Family]) -> tuple[Family, ...]:
    """What the family waits for in a run of `wanted`."""
    node, present = GRAPH[family], set(wanted)
    return (*node.needs, *(used for used in node.uses if used in present))


@dataclass(frozen=True, slots=True)
class Answer:
    """A family's result and the seconds it took, waiting included."""

    result: FamilyResult
    seconds: float


Ask = Callable[[Family, Mapping[Family, FamilyResult]], Awaitable[FamilyResult]]


def reachable(
    group: Iterable[Family], done: Iterable[Family], wanted: Iterable[Family]
) -> tuple[Family, ...]:
    """The part of `group` that can be computed from `done` and from each other, in order."""
    members, wanted = set(group), tuple(wanted)
    known, found = set(done), []
    for family in closure(members):  # inputs come before what they feed
        if family in members and known.issuperset(inputs_of(family, wanted)):
            found.append(family)
            known.add(family)
    return tuple(found)


async def run(
    families: Iterable[Family],
    wanted: Iterable[Family],
    given: Mapping[Family, FamilyResult],
    ask: Ask,
) -> AsyncIterator[tuple[Family, Answer]]:
    """Ask for every family as soon as its inputs are there; yield answers as they come."""
    results, wanted, started = dict(given), tuple(wanted), dict[Family, float]()
    waiting, asked = set(families), dict[asyncio.Task[FamilyResult], Family]()
    try:
        while waiting or asked:
            for family in [f for f in waiting if results.keys() >= set(inputs_of(f, wanted))]:
                waiting.remove(family)
                inputs = {need: results[need] for need in inputs_of(family, wanted)}
                started[family] = time.perf_counter()
                asked[asyncio.ensure_future(ask(family, inputs))] = family
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                family = asked.pop(task)
                results[family] = task.result()
                yield family, Answer(results[family], time.perf_counter() - started[family])
    finally:
        for task in asked:
            task.cancel()


def answer(engine: Engine, tasks: Sequence[Task]) -> list[FamilyResult]:
    """The engine's answers. A take that breaks it is absent as `failed`; its mates are whole."""
    try:
        answers = engine.analyze_batch(tasks)
        if len(answers) != len(tasks):
            raise RuntimeError(f"{engine.family} gave {len(answers)} answers to {len(tasks)} takes")
        return answers
    except Exception as error:  # the run boundary: whatever breaks is recorded in the result
        if len(tasks) > 1:
            middle = len(tasks) // 2
            return answer(engine, tasks[:middle]) + answer(engine, tasks[middle:])
        log.exception("%s failed on a take of %.2f s", engine.family, tasks[0].audio.seconds)
        return [absent(engine.family, Reason.failed, _why(engine.family, error), engine.version)]


def _why(family: Family, error: Exception) -> str:
    if isinstance(error, NotFinite):
        return f"{NOT_FINITE}: {error} of {family}."
    kinds = {e["type"] for e in error.errors()} if isinstance(error, ValidationError) else set()
    if "finite_number" in kinds:
        return f"{NOT_FINITE}: a value of {family}."
    return f"{type(error).__name__} in {family}; the log has the trace."


def analyze(
    takes: Sequence[Audio],
    engines: Mapping[Family, Engine],
    families: Sequence[Family] = FAMILIES,
    options: Options | None = None,
) -> list[Analysis]:
    """The whole graph in this process: one Analysis a take, one batch a family."""
    options, wanted = options or Options(), closure(families)
    audios = [take.at(ANALYSIS_RATE) for take in takes]
    found: list[dict[Family, Answer]] = [{} for _ in takes]
    for family in wanted:
        started = time.perf_counter()
        inputs = inputs_of(family, wanted)
        tasks = [
            Task(audio, {need: mine[need].result for need in inputs}, options)
            for audio, mine in zip(audios, found, strict=True)
        ]
        results = answer(engines[family], tasks)
        seconds = (time.perf_counter() - started) / max(len(takes), 1)
        for mine, result in zip(found, results, strict=True):
            mine[family] = Answer(result, seconds)
    return [
        assemble(audio, mine, families, options) for audio, mine in zip(audios, found, strict=True)
    ]


def assemble(
    audio: Audio,
    answers: Mapping[Family, Answer],
    families: Sequence[Family],
    options: Options,
) -> Analysis:
    """One Analysis from the families' results: scores and feedback are plain function calls."""
    # In the graph's order, whichever came first: advice may quote the first absence it meets.
    results = {family: answers[family].result for family in FAMILIES if family in answers}
    scores = scoring.score(results, options)
    shown = {
        family: results[family] if family in families else absent(family, Reason.not_requested)
        for family in FAMILIES
    }
    return Analysis.model_validate(
        {
            **shown,
            "audio": _report(audio, results),
            "scores": scores,
            "feedback": advising.advise(results, scores),
            "versions": {f: r.version for f, r in results.items() if r.version is not None},
            "timing": {family: answers[family].seconds for family in results},
        }
    )


CONDITIONS = ("snr_db", "clipped_fraction", "bandwidth_hz")  # of clarity, repeated beside the audio


def _report(audio: Audio, results: Mapping[Family, FamilyResult]) -> AudioReport:
    source, conditions = audio.source, dict[str, Number]()
    if (clarity := results.get("clarity")) is not None:
        conditions |= {k: clarity.measures[k].value for k in CONDITIONS if k in clarity.measures}
    if isinstance(pitch := results.get("pitch"), Pitch):
        conditions["voiced_s"] = round(pitch.voiced_s, 3)
    return AudioReport(
        duration_s=audio.seconds,
        sample_rate_hz=audio.sample_rate,
        source_sample_rate_hz=source.sample_rate or audio.sample_rate,
        source_channels=source.channels,
        container=source.container,
        codec=source.codec,
        sha256=source.sha256,
        conditions=conditions,
        warnings=list(source.warnings),
    )
