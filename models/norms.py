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
    "clarity.vowel_space_area_bark2": (5.64, 9.94, 16.0, 24.1, 30.4),
    "fluency.articulation_rate_sps": (3.3, 3.91, 4.68, 5.57, 6.13),
    "fluency.mean_length_of_run": (4.75, 6.25, 11.7, 31.6, 40.0),
    "fluency.pauses_per_minute": (0.0, 0.0, 9.36, 23.2, 26.3),
    "fluency.phonation_ratio": (0.481, 0.684, 0.883, 1.0, 1.0),
    "prosody.expressiveness": (0.281, 0.383, 0.579, 0.779, 0.864),
    "timbre.cpps_voiced_db": (9.81, 12.0, 14.3, 16.6, 18.1),
    "timbre.hnr_db": (4.13, 6.4, 10.2, 13.8, 16.1),
    "timbre.jitter_local": (1.39, 1.76, 2.47, 3.4, 4.53),
    "timbre.shimmer_local": (5.27, 6.58, 9.37, 12.5, 14.7),
}

SPOKEN_S = (1.56, 9.36)

WITHIN_PERSON_SD: Mapping[str, tuple[float, float]] = {
    "clarity.hum_db": (9.74, 9.74),
    "clarity.intelligible_recording": (1.68, 1.68),
    "clarity.snr_db": (5.22, 5.22),
    "clarity.t60_s": (0.107, 0.107),
    "expressiveness": (16.4, 16.4),
    "fluency.articulation_rate_sps": (0.595, 0.595),
    "pace": (18.3, 18.3),
    "pitch.f0_median_hz": (19.4, 19.4),
    "prosody.expressiveness": (0.101, 0.101),
    "prosody.f0_sd_semitones": (0.627, 0.627),
    "prosody.loudness_range_db": (3.66, 3.66),
    "recording_quality": (6.79, 6.79),
    "timbre.alpha_ratio_db": (1.58, 1.58),
    "timbre.cpps_voiced_db": (0.905, 0.905),
    "timbre.h1_h2_db": (1.85, 1.85),
    "timbre.hnr_db": (0.962, 0.962),
    "timbre.jitter_local": (0.468, 0.468),
    "timbre.shimmer_local": (1.37, 1.37),
    "timbre.singers_formant_db": (1.94, 1.94),
    "voice_quality": (8.78, 8.78),
}
