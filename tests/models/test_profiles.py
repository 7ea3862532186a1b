"""How results are spread: the same material has not drifted, other material has."""

import random

from models import profiles
from models.profiles import Counted
from models.results import Emotion, FamilyResult, Measure, Pitch, Reason, absent


def takes(count: int, median_hz: float, seed: int, sure: float = 0.9) -> list[FamilyResult]:
    """Voices around a pitch; every tenth take holds none."""
    rng = random.Random(seed)
    return [
        absent("pitch", Reason.silence)
        if place % 10 == 9
        else Pitch(
            measures={
                "f0_median_hz": Measure(
                    value=rng.gauss(median_hz, 20),
                    unit="Hz",
                    confidence=rng.uniform(sure - 0.1, sure),
                )
            }
        )
        for place in range(count)
    ]


def shifts(trained: list[FamilyResult], served: list[FamilyResult]) -> dict[str, float]:
    made = profiles.profile(trained)
    return made.shifts(made.count(map(profiles.sketch, served)))


def test_takes_like_those_of_the_training_have_not_drifted() -> None:
    found = shifts(takes(500, 200, seed=1), takes(500, 200, seed=2))

    assert found.keys() == {"f0_median_hz", "confidence", "outcome"}
    assert all(shift < 0.1 for shift in found.values())


def test_each_thing_that_can_drift_is_named() -> None:
    trained = takes(500, 200, seed=1)

    higher = shifts(trained, takes(500, 240, seed=2))
    unsure = shifts(trained, takes(500, 200, seed=2, sure=0.7))
    silent = shifts(trained, takes(300, 200, seed=2) + [absent("pitch", Reason.silence)] * 200)

    assert higher["f0_median_hz"] > 0.25 > higher["confidence"]
    assert unsure["confidence"] > 0.25 > unsure["f0_median_hz"]
    assert silent["outcome"] > 0.25


def test_labels_drift_too() -> None:
    def heard(label: str, count: int) -> list[FamilyResult]:
        return [Emotion(label=label)] * count

    trained = heard("calm", 50) + heard("angry", 50)

    assert shifts(trained, heard("calm", 25) + heard("angry", 25))["label"] < 0.01
    assert shifts(trained, heard("calm", 5) + heard("sad", 45))["label"] > 1


def test_counts_of_parts_add_up_to_the_count_of_the_whole() -> None:
    made = profiles.profile(takes(200, 200, seed=1))
    first, second = takes(50, 210, seed=2), takes(70, 190, seed=3)

    added = Counted()
    for part in (first, second):
        added.merge(made.count(map(profiles.sketch, part)))
    whole = made.count(map(profiles.sketch, first + second))

    assert added.takes == whole.takes == 120
    assert made.shifts(added) == made.shifts(whole)
    assert Counted.model_validate_json(added.model_dump_json()) == added


def test_a_value_that_most_takes_share_makes_few_bins_and_no_error() -> None:
    same: list[FamilyResult] = [
        Pitch(measures={"octave_agreement": Measure(value=1.0, unit="1")}) for _ in range(60)
    ]

    made = profiles.profile(same)

    assert made.edges["octave_agreement"] == [1.0]
    assert made.shifts(made.counted)["octave_agreement"] == 0
