"""What ordinary takes measure, and what repeated takes of one person vary by, as data. No torch.

The tables are written by `python -m training.evaluation.score_norms CORPORA`, never by hand.

PERCENTILES are of one 8 s take from each of the readers of LibriSpeech and, but for pauses and
runs, the spoken orders of Picovoice (English, their own microphones). WITHIN_PERSON_SD is from
pairs of takes by the actors of RAVDESS, minutes apart: of a sentence (the same emotion and
intensity), and of six sentences joined (neutral and calm); SPOKEN_S is the speech in those. Takes
of other days vary more.
"""

from collections.abc import Mapping
from math import sqrt

RANKS = (1, 10, 50, 90, 99)  # percent
LIMIT = 1.96 * 2**0.5  # of a difference between two takes (Bland & Altman 1999), in their SDs


def smallest_real_change(name: str, spoken_s: float) -> float | None:
    """Of a score or of 'family.measure', in its unit; None where nobody has repeated it."""
    spread = within_person_sd(name, spoken_s)
    return None if spread is None else LIMIT * spread


def within_person_sd(name: str, spoken_s: float) -> float | None:
    """Its variance falls with 1 / seconds of speech, from the short takes' to the long ones'."""
    if name not in WITHIN_PERSON_SD:
        return None
    (short, long), (least, most) = WITHIN_PERSON_SD[name], SPOKEN_S
    inverse = 1 / min(max(spoken_s, least), most)
    share = (inverse - 1 / most) / (1 / least - 1 / most)  # 1: short, 0: long
    return sqrt(share * short**2 + (1 - share) * long**2)


PERCENTILES: Mapping[str, tuple[float, float, float, float, float]] = {
    "clarity.vowel_space_area_bark2": (5.64, 9.92, 16.1, 24.1, 30.6),
    "fluency.articulation_rate_sps": (3.06, 3.73, 4.51, 5.43, 6.05),
    "fluency.mean_length_of_run": (4.5, 6.28, 11.3, 31.0, 37.1),
    "fluency.pauses_per_minute": (0.0, 0.0, 10.2, 21.6, 24.3),
    "fluency.phonation_ratio": (0.485, 0.693, 0.881, 1.0, 1.0),
    "prosody.expressiveness": (0.279, 0.385, 0.58, 0.771, 0.857),
    "timbre.cpps_voiced_db": (10.0, 12.2, 14.5, 17.1, 18.6),
    "timbre.hnr_db": (4.15, 6.48, 10.2, 14.0, 16.3),
    "timbre.jitter_local": (1.25, 1.61, 2.32, 3.28, 4.21),
    "timbre.shimmer_local": (5.17, 6.45, 9.23, 12.2, 14.5),
}

SPOKEN_S = (1.68, 10.2)

WITHIN_PERSON_SD: Mapping[str, tuple[float, float]] = {
    "clarity.bandwidth_hz": (182.0, 19.3),
    "clarity.hum_db": (8.1, 0.0),
    "clarity.intelligible_recording": (0.854, 0.0),
    "clarity.snr_db": (4.92, 2.12),
    "clarity.t60_s": (0.0378, 0.0182),
    "clarity.vowel_space_area_bark2": (2.25, 2.5),
    "expressiveness": (16.1, 9.93),
    "fluency.articulation_rate_sps": (0.513, 0.216),
    "pace": (15.8, 7.7),
    "pitch.f0_median_hz": (27.5, 5.93),
    "prosody.expressiveness": (0.105, 0.0669),
    "prosody.f0_sd_semitones": (0.752, 0.362),
    "prosody.loudness_range_db": (2.69, 1.49),
    "recording_quality": (3.14, 0.809),
    "timbre.alpha_ratio_db": (1.88, 0.759),
    "timbre.cpps_voiced_db": (1.04, 0.357),
    "timbre.h1_h2_db": (1.88, 0.69),
    "timbre.hnr_db": (1.12, 0.444),
    "timbre.jitter_local": (0.469, 0.16),
    "timbre.shimmer_local": (1.44, 0.357),
    "timbre.singers_formant_db": (2.11, 0.784),
    "voice_quality": (9.35, 2.75),
}
