"""The difference report of a reanalysis: each measure's values before and after, and who moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.results import Family, Real

BINS = 32
SHOWN = (0.5, 99.5)  # percentiles that a histogram reaches to; its end bins hold what lies beyond
MOVERS = 8  # recordings named for each measure
NAMED = 50  # recordings named in the lists of the whole report
SAME = 1e-6  # relative: two values that differ by less are the same

Values = NDArray[np.float64]


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Distribution(Shown):
    count: int
    mean: Real
    sd: Real
    p05: Real
    median: Real
    p95: Real


class Histogram(Shown):
    """Counts in bins of equal width; the first and last also hold what lies beyond."""

    low: Real
    high: Real
    before: list[int]
    after: list[int]


class Mover(Shown):
    """A recording whose value changed much."""

    recording_id: str
    recording: str = Field(description="Where it is.")
    before: Real
    after: Real
    change: Real


class MeasureReport(Shown):
    """One measure on the recordings that have it from both versions; before is null without."""

    measure: str
    unit: str
    before: Distribution | None
    after: Distribution
    change: Distribution | None = Field(description="Of after less before, take by take.")
    effect: Real | None = Field(
        default=None, description="Mean change in standard deviations of before."
    )
    changed: int = Field(description="Recordings on which the two differ at all.")
    histogram: Histogram
    movers: list[Mover]


class FamilyReport(Shown):
    family: Family
    version: str
    sha256: str
    compared_with: dict[str, int] = Field(description="Earlier version: recordings.")
    results: int
    failed: int
    first: int = Field(description="Recordings that no other version has measured.")
    newly_measured: int = Field(description="Recordings that could not be measured before.")
    no_longer_measured: int
    lost: list[str] = Field(description="The first recordings that are no longer measured.")
    labels: dict[str, dict[str, int]] = Field(
        default={}, description="Where the family gives a label: before, after, recordings."
    )
    measures: list[MeasureReport] = Field(description="The largest effect first.")


class OverallMover(Shown):
    recording_id: str
    recording: str
    family: Family
    measure: str
    before: Real
    after: Real
    unit: str
    shift: Real = Field(description="The change in standard deviations of before.")


class Unmeasured(Shown):
    recording_id: str
    recording: str
    family: Family
    detail: str


class Report(Shown):
    job_id: str
    made_at: datetime
    recordings: int
    results: int
    failed: int
    families: list[FamilyReport]
    biggest_movers: list[OverallMover] = Field(description="A recording once, by its largest move.")
    failures: list[Unmeasured] = Field(description="The first of them.")


def address(recording_id: str) -> str:
    return f"/v1/recordings/{recording_id}"


@dataclass(slots=True)
class Pairs:
    """One measure's values as they are gathered; before is NaN where there is none."""

    unit: str = ""
    recordings: list[str] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    def add(self, recording_id: str, before: float | None, after: float) -> None:
        self.recordings.append(recording_id)
        self.before.append(float("nan") if before is None else before)
        self.after.append(after)


def measure_report(name: str, pairs: Pairs) -> MeasureReport:
    before, after = np.array(pairs.before), np.array(pairs.after)
    paired = ~np.isnan(before)
    if not paired.any():
        return MeasureReport(
            measure=name,
            unit=pairs.unit,
            before=None,
            after=_distribution(after),
            change=None,
            changed=0,
            histogram=_histogram(after[:0], after),
            movers=[],
        )
    names = [name for name, has in zip(pairs.recordings, paired, strict=True) if has]
    before, after = before[paired], after[paired]
    change = after - before
    changed = np.abs(change) > SAME * np.maximum(np.abs(before), np.abs(after))
    sd = float(before.std())
    return MeasureReport(
        measure=name,
        unit=pairs.unit,
        before=_distribution(before),
        after=_distribution(after),
        change=_distribution(change),
        effect=float(change.mean()) / sd if sd > 0 else None,
        changed=int(changed.sum()),
        histogram=_histogram(before, after),
        movers=_movers(names, before, after, changed),
    )


def _distribution(values: Values) -> Distribution:
    p05, median, p95 = np.percentile(values, (5, 50, 95))
    return Distribution(
        count=len(values),
        mean=float(values.mean()),
        sd=float(values.std()),
        p05=float(p05),
        median=float(median),
        p95=float(p95),
    )


def _histogram(before: Values, after: Values) -> Histogram:
    low, high = (float(edge) for edge in np.percentile(np.concatenate([before, after]), SHOWN))
    if high - low <= SAME * max(abs(low), abs(high), SAME):
        low, high = low - 0.5, high + 0.5
    counts = (np.histogram(np.clip(v, low, high), BINS, (low, high))[0] for v in (before, after))
    old, new = (found.tolist() for found in counts)
    return Histogram(low=low, high=high, before=old, after=new)


def _movers(
    names: Sequence[str], before: Values, after: Values, changed: NDArray[np.bool_]
) -> list[Mover]:
    change = np.where(changed, np.abs(after - before), 0.0)
    return [
        Mover(
            recording_id=names[i],
            recording=address(names[i]),
            before=float(before[i]),
            after=float(after[i]),
            change=float(after[i] - before[i]),
        )
        for i in np.argsort(-change, kind="stable")[:MOVERS]
        if changed[i]
    ]


def by_effect(pairs: Mapping[str, Pairs]) -> list[MeasureReport]:
    found = [measure_report(name, values) for name, values in sorted(pairs.items())]
    return sorted(found, key=lambda measure: -abs(measure.effect or 0.0))


def biggest_movers(families: Sequence[FamilyReport]) -> list[OverallMover]:
    """Across measures in their standard deviations; each recording by its largest move."""
    largest: dict[str, OverallMover] = {}
    for family in families:
        for measure in family.measures:
            if measure.before is None or measure.before.sd <= 0:
                continue
            for mover in measure.movers:
                shift = mover.change / measure.before.sd
                known = largest.get(mover.recording_id)
                if known is None or abs(shift) > abs(known.shift):
                    largest[mover.recording_id] = _overall(family.family, measure, mover, shift)
    return sorted(largest.values(), key=lambda mover: -abs(mover.shift))[:NAMED]


def _overall(family: Family, measure: MeasureReport, mover: Mover, shift: float) -> OverallMover:
    return OverallMover(
        recording_id=mover.recording_id,
        recording=mover.recording,
        family=family,
        measure=measure.measure,
        before=mover.before,
        after=mover.after,
        unit=measure.unit,
        shift=shift,
    )
