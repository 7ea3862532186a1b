"""The gate: who is let through, who is not, and the sentence that says why."""

from collections.abc import Sequence

import pytest

from training.gate import Compared, Mark, Metric, Verdict, judge, table

METRICS = (Metric("right"), Metric("error", lower=True))
SPEAKERS = 20


def marks(
    right: float, *, error: float = 1.0, speakers: int = SPEAKERS, **by_noise: float
) -> list[Mark]:
    """A score for each speaker around `right`, in quiet and in the noises that are named."""
    conditions = {"clean": right, **by_noise}
    return [
        mark
        for i in range(speakers)
        for noise, score in conditions.items()
        for mark in (
            Mark("right", f"s{i}", "ab"[i % 2], "fm"[i // 2 % 2], noise, score + 0.01 * (i % 5)),
            Mark("error", f"s{i}", "ab"[i % 2], "fm"[i // 2 % 2], noise, error + 0.01 * (i % 5)),
        )
    ]


def found(verdict: Verdict, metric: str, dimension: str, value: str = "") -> Compared:
    place = (metric, dimension, value)
    [one] = [c for c in verdict.compared if (c.metric, c.dimension, c.value) == place]
    return one


def test_better_everywhere_passes_and_says_by_how_much() -> None:
    verdict = judge(METRICS, marks(0.8), marks(0.7))

    assert verdict.passed
    assert "Better than the champion: right 0.82 against 0.72" in verdict.reason
    assert found(verdict, "right", "sex", "f").found == "better"
    assert found(verdict, "error", "all").found == "same"
    assert "| right | corpus a | 10 | 0.72 | 0.82 | +0.1" in table(verdict)


def test_better_on_the_whole_but_worse_in_one_slice_fails() -> None:
    verdict = judge(METRICS, marks(0.9, babble=0.6), marks(0.7, babble=0.65))

    assert not verdict.passed
    assert "Worse than the champion: right (noise babble) 0.62 against 0.67" in verdict.reason
    assert found(verdict, "right", "all").found == "better"


def test_worse_in_another_metric_fails_where_lower_is_better() -> None:
    verdict = judge(METRICS, marks(0.8, error=1.2), marks(0.7, error=1.0))

    assert not verdict.passed
    assert "error 1.22 against 1.02" in verdict.reason


def test_the_same_is_not_better() -> None:
    verdict = judge(METRICS, marks(0.7), marks(0.7))

    assert not verdict.passed
    assert verdict.reason.startswith("No better than the champion: right 0.72 against 0.72")


def test_a_difference_within_chance_is_no_difference() -> None:
    """Some speakers gain as much as others lose."""
    fresh = [
        Mark("right", f"s{i}", "a", "", "clean", 0.7 + (0.1 if i % 2 else -0.09))
        for i in range(SPEAKERS)
    ]
    champion = [Mark("right", f"s{i}", "a", "", "clean", 0.7) for i in range(SPEAKERS)]

    verdict = judge(METRICS[:1], fresh, champion)

    assert not verdict.passed
    assert found(verdict, "right", "all").found == "same"


@pytest.mark.parametrize("speakers", [0, 1, 2])
def test_too_few_speakers_never_pass(speakers: int) -> None:
    verdict = judge(METRICS, marks(0.9, speakers=speakers), marks(0.1, speakers=speakers))

    assert not verdict.passed


def test_a_slice_of_two_speakers_is_shown_but_not_judged() -> None:
    def with_two(more: Sequence[float], score: float) -> list[Mark]:
        few = [Mark("right", f"x{i}", "tiny", "", "clean", x) for i, x in enumerate(more)]
        return [*marks(score), *few]

    verdict = judge(METRICS, with_two([0.6, 0.6], 0.9), with_two([0.7, 0.7], 0.7))

    assert found(verdict, "right", "corpus", "tiny").found == "too few speakers"
    assert verdict.passed


def test_what_is_not_a_number_fails() -> None:
    verdict = judge(METRICS, marks(float("nan")), marks(0.7))

    assert (verdict.passed, verdict.reason) == (False, "right is not a number.")


def test_versions_must_be_judged_on_the_same_material() -> None:
    with pytest.raises(ValueError, match="same material"):
        judge(METRICS, marks(0.8), marks(0.7, speakers=5))


def test_long_takes_weigh_more_than_short_ones() -> None:
    champion = [Mark("right", f"s{i}", "a", "", "clean", 5.0, 10.0 + i) for i in range(6)]
    fresh = [Mark("right", f"s{i}", "a", "", "clean", 9.0, 10.0 + i) for i in range(6)]

    verdict = judge(METRICS[:1], fresh, champion)

    assert found(verdict, "right", "all").fresh == pytest.approx(54 / 75)
    assert verdict.passed
