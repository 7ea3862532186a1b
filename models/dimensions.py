"""What each score is made of: measures, and the published ranges they are held against.

The ranges are those of the sources named; the lines drawn between and beyond them are ours.
No torch here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal


@dataclass(frozen=True, slots=True)
class Curve:
    """Points for a value: straight lines between (value, points), flat outside them."""

    anchors: tuple[tuple[float, float], ...]

    def points(self, value: float) -> float:
        if value <= self.anchors[0][0]:
            return self.anchors[0][1]
        for (left, low), (right, high) in pairwise(self.anchors):
            if value <= right:
                return low + (high - low) * (value - left) / (right - left)
        return self.anchors[-1][1]

    def error(self, value: float, standard_error: float) -> float:
        """Of the points: half of what they change over the value's own error bar."""
        above, below = self.points(value + standard_error), self.points(value - standard_error)
        peak = self.points(value)
        return max(abs(above - below) / 2, (abs(above - peak) + abs(below - peak)) / 2)

    def target(self, value: float) -> float:
        """The nearest value with full points."""
        best = max(points for _, points in self.anchors)
        full = [at for at, points in self.anchors if points == best]
        return min(full, key=lambda at: abs(at - value))


def curve(*anchors: tuple[float, float]) -> Curve:
    return Curve(anchors)


@dataclass(frozen=True, slots=True)
class Term:
    measure: str  # family.name, or one of DERIVED
    spoken: Curve
    weight: float = 1.0
    extra: bool = False  # counts where it was measured, is not missed otherwise
    held: Curve | None = None  # for held notes and vowels, where those are judged otherwise

    def curve(self, song: bool | None) -> Curve:
        return self.held if self.held is not None and song else self.spoken


@dataclass(frozen=True, slots=True)
class Dimension:
    """A score: the weighted mean of its terms' points, or the worst of them.

    Monotone in every measure; where a curve rises and falls again (pace), in the distance from
    the range in between.
    """

    terms: tuple[Term, ...]
    reference: str
    of: Literal["speech", "song", "any"] = "any"
    worst: bool = False
    voice: bool = True  # asks that somebody was heard at all


DIMENSIONS: Mapping[str, Dimension] = {
    "intonation": Dimension(
        (Term("pitch.notes_off_cents", curve((5, 100), (12, 75), (19, 50), (25, 10), (30, 0))),),
        "Mean distance of held notes from equal temperament at the take's own tuning (A4 asked "
        "for: {a4_hz:g} Hz). Singers' median error is 19 cents (Mauch, Frieler & Dixon 2014); "
        "chance gives 25; experts hear 20-25 as still in tune (Vurma & Ross 2006).",
        of="song",
    ),
    "pitch_stability": Dimension(
        (
            Term("pitch.notes_unsteady_cents", curve((10, 100), (20, 75), (50, 25), (90, 0))),
            Term("pitch.vibrato_regularity", curve((0, 0), (1, 100)), weight=0.5, extra=True),
        ),
        "Scatter of pitch inside held notes without vibrato: near 10 cents in trained voices, "
        "over 50 heard as unsteady (after Larrouy-Maestri & Pfordresher 2018); regularity of "
        "the vibrato where there is one (Prame 1994).",
        of="song",
    ),
    "voice_quality": Dimension(
        (
            Term(
                "timbre.cpps_db",
                curve((3, 0), (7.5, 70), (9.33, 100)),
                weight=2,
                held=curve((6, 0), (14.45, 80), (17, 100)),
            ),
            Term(
                "timbre.hnr_db",
                curve((2, 0), (7.5, 60), (11, 100)),
                held=curve((7, 0), (15, 60), (20, 100)),
            ),
            Term(
                "timbre.jitter_local",
                curve((2.1, 100), (2.6, 80), (5, 0)),
                held=curve((0.5, 100), (1.04, 80), (3, 0)),
            ),
            Term(
                "timbre.shimmer_local",
                curve((8.6, 100), (11.8, 80), (22, 0)),
                held=curve((2.5, 100), (3.81, 80), (12, 0)),
            ),
        ),
        "CPPS over 9.33 dB in running speech and 14.45 dB in sustained vowels (Murton, Hillman & "
        "Mehta 2020). In sustained vowels HNR of 20 dB (Boersma 1993), jitter under 1.04 % and "
        "shimmer under 3.81 % (Deliyski 1993); in running speech, which is rougher, the median and "
        "worst tenth of 72 readers of LibriSpeech: 11 and 7.5 dB, 2.1 and 2.6 %, 8.6 and 11.8 %.",
    ),
    "resonance": Dimension(
        (Term("timbre.singers_formant_db", curve((-35, 0), (-20, 50), (-10, 100))),),
        "Energy at 2.4-3.2 kHz re 0-2 kHz: singers' ring against nonsingers' (Sundberg 1974; "
        "Omori et al. 1996). A matter of style: belongs to unamplified classical singing.",
        of="song",
    ),
    "expressiveness": Dimension(
        (Term("prosody.expressiveness", curve((0.1, 0), (0.3, 50), (0.55, 100))),),
        "Movement of pitch, loudness and accents: monotone near 1 semitone of standard deviation, "
        "lively from 3 to 4 (Traunmueller & Eriksson 1995; Hincks 2005); the median of readers of "
        "LibriSpeech is 0.54.",
        of="speech",
    ),
    "pace": Dimension(
        (
            Term(
                "fluency.articulation_rate_sps",
                curve((1.5, 0), (3.3, 100), (5.5, 100), (8.5, 0)),
                weight=2,
            ),
            Term(
                "fluency.words_per_minute",
                curve((50, 0), (120, 100), (185, 100), (290, 0)),
                extra=True,
            ),
        ),
        "3.3-5.5 syllables a second, as readers and talkers of American English articulate "
        "(Jacewicz et al. 2009); 120-185 words a minute (after Tauroza & Allison 1990).",
        of="speech",
    ),
    "fluency": Dimension(
        (
            Term("fluency.phonation_ratio", curve((0.3, 0), (0.6, 55), (0.8, 100))),
            Term("fluency.pauses_per_minute", curve((15, 100), (28, 60), (55, 0))),
            Term("fluency.mean_length_of_run", curve((2, 0), (5, 55), (9, 100))),
            Term("fluency.pause_p90_s", curve((1.0, 100), (2.0, 50), (4.0, 0)), extra=True),
            Term("fluency.filler_rate", curve((1, 100), (6, 55), (20, 0)), extra=True),
            Term("fluency.repetition_rate", curve((1, 100), (4, 55), (12, 0)), extra=True),
        ),
        "Fluent native speech: phonation over 80 % of the time, about 15 pauses of 250 ms a "
        "minute, runs of 9 syllables (Kormos & Denes 2004; de Jong & Bosker 2013); up to 6 "
        "fillers a minute pass unnoticed (after Bortfeld et al. 2001).",
        of="speech",
    ),
    "clarity": Dimension(
        (
            Term("clarity.vowel_space_area_bark2", curve((3, 0), (11, 80), (15, 100))),
            Term("clarity.word_accuracy", curve((0.4, 0), (0.85, 60), (1, 100)), 2, extra=True),
            Term("clarity.word_confidence", curve((0.3, 0), (0.7, 60), (0.95, 100)), extra=True),
        ),
        "Larger vowel spaces are more intelligible (Bradlow, Torretta & Pisoni 1996): readers of "
        "LibriSpeech have a median of 15 square Bark, the least tenth 11. Words as a recogniser "
        "understood them, where there is a transcript.",
        of="speech",
    ),
    "recording_quality": Dimension(
        (
            Term("clarity.snr_db", curve((0, 0), (10, 35), (20, 75), (30, 100)), weight=2),
            Term("clarity.clipped_fraction", curve((0, 100), (0.001, 75), (0.01, 30), (0.05, 0))),
            Term("clarity.bandwidth_hz", curve((1000, 0), (3400, 60), (6000, 100)), extra=True),
            Term("clarity.t60_s", curve((0.6, 100), (0.9, 70), (1.5, 30), (2.5, 0)), extra=True),
            Term("clarity.hum_db", curve((-45, 100), (-30, 70), (-10, 0)), extra=True),
            Term("clarity.intelligible_recording", curve((0, 0), (90, 100)), extra=True),
        ),
        "The worst of noise, clipping, bandwidth, hum and reverberation: voice measures want 30 dB "
        "and more, are doubtful under 15 and withheld under 10 (after Deliyski, Shaw & Evans "
        "2005); rooms under 0.6 s (ANSI S12.60).",
        worst=True,
        voice=False,
    ),
}
