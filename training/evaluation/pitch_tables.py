"""The tables of pitch on voices whose F0 is exact: goals, accuracy, voicing, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation import pitch_material
from training.evaluation.pitch_answers import Answers, calibration_error, reliability
from training.evaluation.report import Section

GOALS: Mapping[str, Mapping[str, float]] = {  # by measure and condition
    "OA": {"clean": 0.985, "20db": 0.965, "10db": 0.93, "0db": 0.84},
    "RPA": {"clean": 0.997, "20db": 0.99, "10db": 0.97, "0db": 0.86},
    "VFA": {"clean": 0.015, "10db": 0.05},
    "octaves": {"clean": 0.001},
    "cents": {"clean": 5.0},
}
ECE_GOAL = 0.03
NAMES = {"clean": "clean", "20db": "20 dB", "10db": "10 dB", "0db": "0 dB"}
FROM_WORLD = (
    f"Two transpositions (at most {pitch_material.TRANSPOSED} octaves) of the first"
    f" {pitch_material.SECONDS} s of each held-out speaker of LibriSpeech, resynthesised by WORLD"
    " with exact F0, voiced where Harvest and Praat agree, as in METHODS; noise is white, pink or"
    " babble by turns. Metrics are those of mir_eval.melody, 50 cents, pooled over frames."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One tracker, in each condition of JUDGED_AT."""

    name: str
    answers: Mapping[str, Answers]
    every: int = 1  # it was given one clip in so many

    def ours(self, world: Sequence["Row"]) -> "Row":
        """What we, first of the rows, said to the same clips."""
        return world[0].some(self.every) if self.every > 1 else world[0]

    @property
    def clips(self) -> int:
        return len(self.answers["clean"].curves)

    def figure(self, measure: str, condition: str) -> float:
        """One of SHARES, or `cents`."""
        answers = self.answers[condition]
        return answers.error_cents() if measure == "cents" else answers.share(measure).value

    def some(self, every: int) -> "Row":
        return Row(self.name, {name: answers.some(every) for name, answers in self.answers.items()})


def goals(world: Sequence[Row]) -> Section:
    """What the issue asks for, what is there, and which peer comes nearest."""
    section = Section(
        "Goals",
        f"{FROM_WORLD} The nearest peer is the one that our figure leads by the least, or trails"
        " by the most, on the clips that both were given.",
        ("measure", "goal", "ours", "reached", "nearest peer", "ours on its clips", "ahead"),
    )
    section.rows += [
        _goal(measure, condition, goal, world)
        for measure, wanted in GOALS.items()
        for condition, goal in wanted.items()
    ]
    error = calibration_error(reliability(list(world[0].answers.values())))
    reached = _yes(error <= ECE_GOAL)
    section.rows.append(("ECE", f"≤ {ECE_GOAL}", f"{error:.3f}", reached, "", "", ""))
    return section


def shares(title: str, measure: str, world: Sequence[Row], missing: Mapping[str, str]) -> Section:
    """One measure of all trackers, with intervals."""
    section = Section(title, FROM_WORLD, ("tracker", "clips", *NAMES.values()))
    section.rows.append(("goal", "", *(f"≥ {goal}" for goal in GOALS[measure].values())))
    parts = {row.every: row.ours(world) for row in world if row.every > 1}
    ours_on_parts = [Row(f"ours, on {p.clips} of them", p.answers) for p in parts.values()]
    for row in (*world, *ours_on_parts):
        figures = (answers.share(measure) for answers in row.answers.values())
        section.rows.append((row.name, row.clips, *figures))
    section.rows += [(name, "missing", "", "", "", "") for name in missing]
    section.notes += [f"{name} is missing: {why}" for name, why in missing.items()]
    return section


def details(world: Sequence[Row]) -> Section:
    """Voicing, octaves, cents and cost."""
    section = Section(
        "Voicing, octaves, fineness and cost, speech with exact F0",
        "The same clips. Shares are at clean / 20 / 10 / 0 dB. Octave errors: of the clean frames"
        " that are voiced in truth and in the answer, those with the right chroma and the wrong"
        " pitch. Cents: median absolute error of those frames. Cost: CPU seconds per second of"
        " sound on one thread, take by take.",
        ("tracker", "RCA", "VR", "VFA", "octave errors, %", "cents", "cost", "cost / ours"),
    )
    for row in world:
        clean = row.answers["clean"]
        cost = float(np.mean([answers.cost for answers in row.answers.values()]))
        own = float(np.mean([answers.cost for answers in world[0].answers.values()]))
        section.rows.append(
            (
                row.name,
                *(_line(row, measure) for measure in ("RCA", "VR", "VFA")),
                f"{100 * clean.share('octaves').value:.2f}",
                f"{clean.error_cents():.1f}",
                f"{cost:.4f}",
                f"{cost / own:.1f}",
            )
        )
    return section


def other_making(title: str, method: str, rows: Sequence[Row]) -> Section:
    """The same measures on material that is not WORLD's; the slow peers stay away."""
    section = Section(
        title,
        f"{method} OA with its interval over speakers; the others at clean / 20 / 10 / 0 dB.",
        ("tracker", *(f"OA {name}" for name in NAMES.values()), "RPA", "RCA", "VR", "VFA", "cents"),
    )
    for row in rows:
        answers = row.answers
        lines = (_line(row, measure) for measure in ("RPA", "RCA", "VR", "VFA"))
        cents = f"{answers['clean'].error_cents():.1f}"
        section.rows.append((row.name, *(a.share("OA") for a in answers.values()), *lines, cents))
    return section


def calibration(us: Row) -> Section:
    """Whether a confidence of 0.8 is right in eight cases of ten."""
    bins = reliability(list(us.answers.values()))
    frames = sum(one.frames for one in bins)
    section = Section(
        "Calibration of the confidence",
        "Frames that we call voiced, clean to 0 dB together; right means voiced in truth and"
        " within 50 cents. ECE: the mean over frames of how far the confidence of a frame's bin is"
        f" from its share that is right (Naeini et al. 2015): {calibration_error(bins):.3f};"
        f" the goal is under {ECE_GOAL}.",
        ("confidence", "share of the frames", "mean confidence", "share right"),
    )
    for one in bins:
        section.rows.append(
            (
                f"{one.low:.1f}-{one.low + 0.1:.1f}",
                f"{one.frames / frames:.3f}",
                f"{one.confidence:.3f}",
                one.right,
            )
        )
    return section


def _goal(measure: str, condition: str, goal: float, world: Sequence[Row]) -> Sequence[object]:
    """A row of the goals: more is better of accuracies, less of everything else."""
    sign = 1 if measure in ("OA", "RPA") else -1
    us = world[0].figure(measure, condition)
    cells: list[object] = [f"{measure}, {NAMES[condition]}", f"{'≥' if sign > 0 else '≤'} {goal}"]
    cells += [f"{us:.3g}" if measure == "cents" else world[0].answers[condition].share(measure)]
    cells.append(_yes(sign * us >= sign * goal))
    pairs = [(row.figure(measure, condition), row.ours(world), row.name) for row in world[1:]]
    leads = [
        (sign * (same.figure(measure, condition) - theirs), theirs, same, name)
        for theirs, same, name in pairs
    ]
    if not leads:
        return (*cells, "", "", "")
    lead, theirs, same, name = min(leads, key=lambda one: one[0])
    same_figure = same.figure(measure, condition)
    return (
        *cells,
        f"{name} {theirs:.3g}",
        f"{same_figure:.3g}",
        "level" if lead == 0 else _yes(lead > 0),
    )


def _line(row: Row, measure: str) -> str:
    return " / ".join(f"{answers.share(measure).value:.3f}" for answers in row.answers.values())


def _yes(reached: bool) -> str:
    return "yes" if reached else "**no**"
