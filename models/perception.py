"""Names listeners use for a voice, as documented functions of what was measured. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.results import Absence, Measure, Reason


@dataclass(frozen=True, slots=True)
class Cue:
    """A measure that speaks for a quality: 0.5 at `middle`, 0.73 one `step` further."""

    measure: str
    middle: float
    step: float  # negative: less of the measure is more of the quality
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Quality:
    """A logistic function of the weighted mean of its cues; monotone in each of them."""

    cues: tuple[Cue, ...]
    confidence: float
    after: str


QUALITIES: Mapping[str, Quality] = {
    "brightness": Quality(
        (
            Cue("spectral_centroid_hz", 900, 300),
            Cue("alpha_ratio_db", 12, -5),
            Cue("spectral_rolloff_hz", 1600, 600, 0.5),
        ),
        0.8,
        "spectral centroid as the main correlate (Grey & Gordon 1978; Schubert & Wolfe 2006)",
    ),
    "warmth": Quality(
        (Cue("alpha_ratio_db", 12, 5), Cue("spectral_centroid_hz", 900, -300)),
        0.6,
        "energy under 1 kHz over that above it (after Pratt & Doak 1976)",
    ),
    "breathiness": Quality(
        (
            Cue("cpps_voiced_db", 11, -2),
            Cue("h1_h2_db", 4, 3, 0.7),
            Cue("hnr_db", 13, -4, 0.7),
        ),
        0.6,
        "CPP, H1 and aspiration noise (Hillenbrand & Houde 1996; Klatt & Klatt 1990)",
    ),
    "roughness": Quality(
        (
            Cue("jitter_local", 2.0, 0.8),
            Cue("shimmer_local", 9, 3),
            Cue("hnr_db", 12, -4),
        ),
        0.5,
        "irregular cycles (Bhuta, Patrick & Garnett 2004; Dejonckere et al. 1996)",
    ),
    "pressedness": Quality(
        (
            Cue("h1_h2_db", 1, -3),
            Cue("h1_a3_db", 14, -6, 0.7),
            Cue("alpha_ratio_db", 10, -5, 0.5),
        ),
        0.5,
        "low H1-H2 and little tilt (Holmberg et al. 1995; Gordon & Ladefoged 2001)",
    ),
    "nasality": Quality(
        (Cue("a1_p0_db", 2, -5),),
        0.25,
        "A1-P0, the first formant against the nasal pole near 250 Hz (Chen 1997)",
    ),
}


def judge(measures: Mapping[str, Measure]) -> dict[str, Measure | Absence]:
    """Each quality in 0..1; absent where one of its cues is missing."""
    return {name: _judged(quality, measures) for name, quality in QUALITIES.items()}


def _judged(quality: Quality, measures: Mapping[str, Measure]) -> Measure | Absence:
    missing = [cue.measure for cue in quality.cues if cue.measure not in measures]
    if missing:
        detail = f"Needs {', '.join(missing)}."
        return Absence(reason=Reason.insufficient_voiced_audio, detail=detail)
    total = sum(cue.weight for cue in quality.cues)
    score = sum(
        cue.weight * (measures[cue.measure].value - cue.middle) / cue.step for cue in quality.cues
    )
    value = 1 / (1 + float(np.exp(-np.clip(score / total, -30, 30))))
    evidence = measures[quality.cues[0].measure].evidence_s
    return Measure(value=value, unit="1", confidence=quality.confidence, evidence_s=evidence)
