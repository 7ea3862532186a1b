"""Guardrails: what ends a trial by itself, what does not, and that the reason is a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rollouts.guardrails import Limits, at_least, judge
from app.rollouts.observations import Seen, Spread, summed

LIMITS = Limits()


def seen(requests: int = 0, latency_s: float = 0.1, **counts: int) -> Seen:
    """So many requests; those that did not fail were answered after `latency_s`."""
    made = Seen()
    failed = sum(counts.get(name, 0) for name in ("errors", "timeouts", "not_finite"))
    for _ in range(requests - failed):
        made.answered(latency_s)
    made.requests = requests
    return made.model_copy(update=counts)


def spread(values: list[float]) -> Spread:
    made = Spread()
    for value in values:
        made.add(value)
    return made


@pytest.mark.parametrize(
    ("trial", "word"),
    [
        (seen(3, errors=3), "3 of 3 requests failed"),
        (seen(200, errors=20), "20 of 200 requests failed"),
        (seen(4, timeouts=3), "3 of them by timeout"),
        (seen(3, not_finite=3), "NaN"),
        (seen(8, latency_s=1.0), "times as long"),
        (Seen(compared=10, unlike=8), "only one of champion and trial"),
        (Seen(scores={"a": Spread(), "pitch": spread([6.0, -6.0] * 4)}), "pitch"),
    ],
    ids=["all fail", "a tenth fails", "hangs", "not finite", "slow", "unlike", "drift"],
)
def test_a_bad_version_is_told_why_it_ends(trial: Seen, word: str) -> None:
    reason = judge(LIMITS, trial, seen(100))

    assert reason is not None
    assert word in reason
    assert reason.endswith(".")


@pytest.mark.parametrize(
    "trial",
    [
        Seen(),
        seen(1, errors=1),
        seen(5, errors=1),
        seen(1, not_finite=1),
        seen(200, errors=10),
        seen(7, latency_s=1.0),
        Seen(compared=20, unlike=3),
        Seen(scores={"pitch": spread([50.0] * 7)}),
        Seen(scores={"pitch": spread([4.0, -4.0] * 50)}),
    ],
    ids=[
        "nothing seen",
        "one of one",
        "one hiccup in five",
        "one NaN",
        "as many as may",
        "too few to be slow",
        "as unlike as may",
        "too few to drift",
        "a small drift",
    ],
)
def test_a_version_that_may_go_on_goes_on(trial: Seen) -> None:
    assert judge(LIMITS, trial, seen(100)) is None


def test_takes_that_break_every_version_are_not_held_against_the_trial() -> None:
    assert judge(LIMITS, seen(100, errors=30), seen(1000, errors=300)) is None
    assert judge(LIMITS, seen(100, errors=60), seen(1000, errors=300)) is not None


def test_a_few_milliseconds_are_not_slow_however_many_times_the_champions() -> None:
    assert judge(LIMITS, seen(50, latency_s=0.2), seen(50, latency_s=0.01)) is None


def test_limits_may_be_moved() -> None:
    patient = Limits(max_p95_ratio=20, max_error_rate=0.9)

    assert judge(patient, seen(20, latency_s=1.0, errors=5), seen(100)) is None


counts = st.integers(min_value=0, max_value=10_000)


@given(counts, counts)
def test_the_bound_lies_below_the_share_and_never_below_none(bad: int, more: int) -> None:
    of = bad + more

    assert 0 <= at_least(bad, of) <= (bad / of if of else 0)


@given(counts, counts, st.integers(min_value=2, max_value=20))
def test_more_of_the_same_only_makes_it_surer(bad: int, more: int, times: int) -> None:
    of = bad + more

    assert at_least(bad, of) <= at_least(bad * times, of * times) + 1e-12


parts = st.builds(
    lambda good, errors, timeouts, nans: seen(
        good + errors + timeouts + nans, errors=errors, timeouts=timeouts, not_finite=nans
    ),
    *[st.integers(min_value=0, max_value=40)] * 4,
)


@given(st.lists(parts, max_size=4), st.lists(parts, max_size=4))
def test_whatever_was_seen_there_is_a_verdict(trial: list[Seen], champion: list[Seen]) -> None:
    reason = judge(LIMITS, summed(trial), summed(champion))

    assert reason is None or reason.endswith(".")
