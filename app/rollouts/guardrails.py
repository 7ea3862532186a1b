"""Guardrails: when a version on trial is taken back by itself, and the sentence that says why."""

import math

from pydantic import BaseModel, ConfigDict, Field

from app.rollouts.observations import Seen

LONGEST_WINDOW_S = 3600
CONFIDENCE_Z = 1.96  # two-sided 95 %
FEWEST_BAD = 2  # one hiccup alone ends nothing: of 1 in 1 even Wilson's bound is 21 %


class Limits(BaseModel):
    """What a version on trial may do within the window before it is taken back by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    window_s: float = Field(
        default=60.0, ge=5, le=LONGEST_WINDOW_S, description="Only what is younger counts."
    )
    max_error_rate: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of requests that may fail or time out, beyond the champion's own share.",
    )
    max_not_finite: float = Field(
        default=0.02, ge=0, le=1, description="Share of answers that may hold NaN or infinity."
    )
    max_p95_ratio: float = Field(
        default=3.0, ge=1, description="Most p95 latency, in the champion's."
    )
    least_slower_s: float = Field(
        default=0.25, ge=0, description="A p95 that is less than this slower is always good enough."
    )
    max_score_drift: float = Field(
        default=5.0,
        ge=0,
        description="Most rms difference of a score from the champion's on the same takes, points.",
    )
    max_unlike: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of compared takes that only one of the two versions may measure.",
    )
    fewest: int = Field(default=8, ge=1, description="Samples that latency and drift need.")


def judge(limits: Limits, trial: Seen, champion: Seen) -> str | None:
    """Why the trial must end, as a sentence; None while it may go on."""
    return (
        _not_finite(limits, trial)
        or _failing(limits, trial, champion)
        or _slow(limits, trial, champion)
        or _unlike(limits, trial)
        or _drifting(limits, trial)
    )


def at_least(bad: int, of: int) -> float:
    """The share that is at least behind `bad` of `of`: Wilson's lower bound at 95 %."""
    if of <= 0:
        return 0.0
    share, z2 = min(bad / of, 1.0), CONFIDENCE_Z**2
    spread = CONFIDENCE_Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, (share + z2 / (2 * of) - spread) / (1 + z2 / of))


def _not_finite(limits: Limits, trial: Seen) -> str | None:
    if not _too_many(trial.not_finite, trial.requests, limits.max_not_finite):
        return None
    return (
        f"{trial.not_finite} of {trial.requests} answers held NaN or infinity; "
        f"{_percent(limits.max_not_finite)} may."
    )


def _failing(limits: Limits, trial: Seen, champion: Seen) -> str | None:
    """Takes that break every version are not held against the one on trial."""
    bad, usual = _bad(trial), at_least(_bad(champion), champion.requests)
    if not _too_many(bad, trial.requests, limits.max_error_rate + usual):
        return None
    timeouts = f", {trial.timeouts} of them by timeout" if trial.timeouts else ""
    return (
        f"{bad} of {trial.requests} requests failed{timeouts}; "
        f"{_percent(limits.max_error_rate)} may. Of the champion's, {_bad(champion)} of "
        f"{champion.requests} did."
    )


def _slow(limits: Limits, trial: Seen, champion: Seen) -> str | None:
    if min(sum(trial.latency.values()), sum(champion.latency.values())) < limits.fewest:
        return None
    p95, usual = trial.quantile(0.95), champion.quantile(0.95)
    if p95 is None or usual is None:
        return None
    if p95 <= usual * limits.max_p95_ratio or p95 - usual < limits.least_slower_s:
        return None
    return (
        f"95 % of its answers take up to {p95:.2f} s, the champion's {usual:.2f} s: "
        f"{p95 / usual:.1f} times as long, and {limits.max_p95_ratio:g} times is the most."
    )


def _unlike(limits: Limits, trial: Seen) -> str | None:
    enough = trial.compared >= limits.fewest
    if not enough or not _too_many(trial.unlike, trial.compared, limits.max_unlike):
        return None
    return (
        f"Of {trial.compared} takes, {trial.unlike} could be measured by only one of champion and "
        f"trial; {_percent(limits.max_unlike)} may."
    )


def _drifting(limits: Limits, trial: Seen) -> str | None:
    known = {name: s for name, s in trial.scores.items() if s.count >= limits.fewest}
    if not known:
        return None
    name, worst = max(known.items(), key=lambda item: item[1].rms)
    if worst.rms <= limits.max_score_drift:
        return None
    return (
        f"Score {name} differs from the champion's by {worst.rms:.1f} points rms on "
        f"{worst.count} takes; {limits.max_score_drift:g} is the most."
    )


def _bad(seen: Seen) -> int:
    return seen.errors + seen.timeouts


def _too_many(bad: int, of: int, limit: float) -> bool:
    return bad >= FEWEST_BAD and at_least(bad, of) > limit


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
