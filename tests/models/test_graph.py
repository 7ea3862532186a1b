"""The graph as data: what is computed, in which order, and what one bad take may cost."""

from collections.abc import Mapping, Sequence

import pytest

from models import graph
from models.engine import Options, Task
from models.graph import GRAPH
from models.results import (
    RESULT_TYPES,
    Family,
    FamilyResult,
    Reason,
    Version,
    absent,
)
from tests.signals import silence


class Echo:
    """An engine that answers with the length of the take, and breaks on takes of 13 s."""

    family: Family = "activity"
    version = Version(name="echo", version="1", sha256="0")

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        if any(task.audio.seconds == 13 for task in tasks):
            raise RuntimeError("this take is cursed")
        return [RESULT_TYPES["activity"](conditions={"s": t.audio.seconds}) for t in tasks]


def test_needs_come_before_what_needs_them() -> None:
    order = graph.closure(["fluency", "clarity", "prosody"])

    assert set(order) == {"activity", "pitch", "timbre", "clarity", "prosody", "fluency"}
    for i, family in enumerate(order):
        assert set(GRAPH[family].needs) <= set(order[:i])


def test_an_optional_input_is_waited_for_only_when_it_is_coming() -> None:
    assert "transcript" not in graph.inputs_of("fluency", ["fluency", "pitch"])
    assert "transcript" in graph.inputs_of("fluency", ["fluency", "transcript"])


def test_a_host_computes_at_once_all_that_its_own_families_feed() -> None:
    here: set[Family] = {"activity", "pitch", "timbre", "clarity", "prosody", "fluency"}

    alone = graph.reachable(here, [], here)
    with_whisper_elsewhere = graph.reachable(here, [], here | {"transcript"})

    assert set(alone) == here
    assert set(with_whisper_elsewhere) == here - {"clarity", "fluency"}


def test_one_bad_take_is_absent_and_its_mates_are_whole() -> None:
    tasks = [Task(silence(seconds)) for seconds in (1, 2, 13, 4, 5)]

    answers = graph.answer(Echo(), tasks)

    assert [a.conditions.get("s") for a in answers] == [1, 2, None, 4, 5]
    assert answers[2].absent is not None
    assert answers[2].absent.reason == Reason.failed
    assert "cursed" not in answers[2].absent.detail


async def test_families_are_asked_as_soon_as_their_inputs_are_there() -> None:
    asked: list[tuple[Family, set[Family]]] = []

    async def ask(family: Family, needs: Mapping[Family, FamilyResult]) -> FamilyResult:
        asked.append((family, set(needs)))
        return RESULT_TYPES[family]()

    wanted = graph.closure(["clarity", "emotion"])
    answers = {family: answer async for family, answer in graph.run(wanted, wanted, {}, ask)}

    assert set(answers) == set(wanted)
    assert asked[-1] == ("clarity", {"activity", "pitch", "timbre"})


async def test_an_error_in_one_family_ends_the_run_with_it() -> None:
    async def ask(family: Family, needs: Mapping[Family, FamilyResult]) -> FamilyResult:
        raise RuntimeError(family)

    with pytest.raises(RuntimeError):
        async for _ in graph.run(["pitch"], ["pitch"], {}, ask):
            pass


def test_the_order_in_which_families_answer_changes_nothing() -> None:
    refused = {
        family: graph.Answer(absent(family, Reason.too_short, f"{family} is short"), 0.1)
        for family in graph.FAMILIES
    }
    backwards = dict(reversed(refused.items()))

    one, other = (
        graph.assemble(silence(0.1), answers, graph.FAMILIES, Options())
        for answers in (refused, backwards)
    )

    assert one.model_dump_json() == other.model_dump_json()
