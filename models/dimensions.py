"""What each score is made of: measures, and the ranges they are held against, with their source.

A source is cited where it gives the number; every other line is set by us, and says on what.
Where each anchor lies among the takes at hand is a table of EVALUATION.md. No torch here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models import norms
from models.curves import Better, Curve, Percentiles, by_rank, curve


@dataclass(frozen=True, slots=True)
class Term:
    measure: str  # family.name, or one of scores.DERIVED
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
    its best value.
    """

    terms: tuple[Term, ...]
    reference: str
    ignores: str
    of: Literal["speech", "song", "any"] = "any"
    worst: bool = False
    voice: bool = True  # asks that somebody was heard at all


RANKED = (
    "Of ordinary takes ({of}; {about}) the middle one earns 75, the tenth from the top of a "
    "hundred 95, the tenth from the bottom 45: set by us."
)
BOTH = "LibriSpeech's readers, Picovoice's spoken orders"
READERS = "LibriSpeech's readers"  # an order is said in one breath


def of(percentiles: Percentiles) -> Mapping[str, Dimension]:
    """Every score, its ranks taken from these percentiles (see models.norms)."""
    return {
        "intonation": INTONATION,
        "pitch_stability": PITCH_STABILITY,
        "voice_quality": _voice_quality(percentiles),
        "resonance": RESONANCE,
        "expressiveness": _expressiveness(percentiles),
        "pace": _pace(percentiles),
        "fluency": _fluency(percentiles),
        "clarity": _clarity(percentiles),
        "recording_quality": RECORDING_QUALITY,
    }


def _ranked(percentiles: Percentiles, measure: str, better: Better, weight: float = 1.0) -> Term:
    return Term(measure, by_rank(percentiles[measure], better), weight)


def _middle(percentiles: Percentiles, measure: str, digits: int = 1) -> str:
    """'9.5 (7.5-11.5)': the middle take, and eight of ten."""
    _, low, middle, high, _ = percentiles[measure]
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


INTONATION = Dimension(
    (Term("pitch.notes_off_cents", curve((2, 100), (8, 80), (19, 50), (25, 15), (30, 0))),),
    "Mean distance of held notes from equal temperament at the take's own tuning (A4 asked for: "
    "{a4_hz:g} Hz). 50 points at 19 cents, the median error of 24 singers (Mauch, Frieler & Dixon "
    "2014); experts still hear intervals as in tune that are 20-25 cents off (Vurma & Ross 2006); "
    "notes at random average 25. The other points are set by us.",
    ignores="Which notes were meant: a wrong note sung in tune counts as in tune. Just or "
    "expressive tuning counts as error; drift of the whole take partly does.",
    of="song",
)

PITCH_STABILITY = Dimension(
    (
        Term("pitch.notes_unsteady_cents", curve((4, 100), (12, 85), (25, 65), (50, 25), (90, 0))),
        Term("pitch.vibrato_regularity", curve((0, 0), (1, 100)), weight=0.5, extra=True),
    ),
    "Scatter of pitch inside held notes without vibrato, and the regularity of the vibrato where "
    "there is one. Set by us: no norm of either was found, and no song is among the corpora here.",
    ignores="Intended bends and slides inside a note; rate and extent of the vibrato, which are a "
    "matter of style.",
    of="song",
)

RESONANCE = Dimension(
    (Term("timbre.singers_formant_db", curve((-40, 0), (-20, 50), (-5, 95), (0, 100))),),
    "Energy at 2.4-3.2 kHz re 0-2 kHz. Singers have more of it than nonsingers, and it is heard as "
    "ring (Omori et al. 1996, on peaks between 2 and 4 kHz); the points are set by us.",
    ignores="Style: ring belongs to unamplified classical singing. The microphone's response and "
    "distance move it as much as the voice does.",
    of="song",
)


def _voice_quality(percentiles: Percentiles) -> Dimension:
    about = "CPPS where voiced {} dB, HNR {} dB, jitter {} %, shimmer {} %".format(
        _middle(percentiles, "timbre.cpps_voiced_db"),
        _middle(percentiles, "timbre.hnr_db"),
        _middle(percentiles, "timbre.jitter_local"),
        _middle(percentiles, "timbre.shimmer_local"),
    )
    return Dimension(
        (
            Term(
                "timbre.cpps_voiced_db",
                by_rank(percentiles["timbre.cpps_voiced_db"], "high"),
                weight=2,
                held=curve((6, 0), (14.45, 60), (18, 85), (24, 100)),
            ),
            Term(
                "timbre.hnr_db",
                by_rank(percentiles["timbre.hnr_db"], "high"),
                held=curve((5, 0), (13, 45), (20, 75), (35, 100)),
            ),
            Term(
                "timbre.jitter_local",
                by_rank(percentiles["timbre.jitter_local"], "low"),
                held=curve((0.1, 100), (0.5, 80), (1.04, 60), (3, 0)),
            ),
            Term(
                "timbre.shimmer_local",
                by_rank(percentiles["timbre.shimmer_local"], "low"),
                held=curve((0.5, 100), (2.2, 80), (3.81, 60), (12, 0)),
            ),
        ),
        "Running speech: "
        + RANKED.format(of=BOTH, about=about)
        + " Held vowels and notes: 60 points at "
        "CPPS 14.45 dB (Murton, Hillman & Mehta 2020), jitter 1.04 % and shimmer 3.81 % (MDVP's, "
        "by Praat's manual, which thinks the first too high); 75 at HNR 20 dB, as Praat's manual "
        "gives for [a]; the other points are set by us.",
        ignores="Microphone, room and noise, which all four measures hear as roughness or breath; "
        "sex and age; whether breath or creak was meant. It says nothing about health.",
    )


def _expressiveness(percentiles: Percentiles) -> Dimension:
    about = f"prosody.expressiveness {_middle(percentiles, 'prosody.expressiveness', 2)}"
    return Dimension(
        (_ranked(percentiles, "prosody.expressiveness", "high"),),
        "Movement of pitch, loudness and accents; listeners hear more variation of F0 as livelier "
        "(Traunmueller & Eriksson 1995; Hincks 2005). " + RANKED.format(of=BOTH, about=about),
        ignores="Whether the movement fits the words; agitation counts as expression; so does the "
        "melody of a tone language.",
        of="speech",
    )


def _pace(percentiles: Percentiles) -> Dimension:
    rate = _middle(percentiles, "fluency.articulation_rate_sps")
    return Dimension(
        (
            _ranked(percentiles, "fluency.articulation_rate_sps", "middle", weight=2),
            Term(
                "fluency.words_per_minute",
                curve((50, 0), (130, 75), (170, 100), (210, 75), (320, 0)),
                extra=True,
            ),
        ),
        "Syllables a second without pauses: 100 points at the middle of ordinary takes, 75 where "
        f"eight of ten lie between ({rate}; {BOTH}), set by us. Words a minute, where there is "
        "a transcript: broadcasters are advised 160-180 (Rodero 2012).",
        ignores="Language (the norm is English), the listener, and what the text asks for; fast "
        "speech that drops syllables is counted as slower than it is.",
        of="speech",
    )


def _fluency(percentiles: Percentiles) -> Dimension:
    about = "phonation {} of the time, {} pauses a minute, {} syllables a run".format(
        _middle(percentiles, "fluency.phonation_ratio", 2),
        _middle(percentiles, "fluency.pauses_per_minute"),
        _middle(percentiles, "fluency.mean_length_of_run"),
    )
    return Dimension(
        (
            _ranked(percentiles, "fluency.phonation_ratio", "high"),
            _ranked(percentiles, "fluency.pauses_per_minute", "low"),
            _ranked(percentiles, "fluency.mean_length_of_run", "high"),
            Term("fluency.pause_p90_s", curve((0.4, 100), (1, 75), (2, 45), (4, 0)), extra=True),
            Term("fluency.filler_rate", curve((0, 100), (6, 60), (20, 0)), extra=True),
            Term("fluency.repetition_rate", curve((0, 100), (4, 60), (12, 0)), extra=True),
        ),
        "Listeners call longer runs and more phonation fluent (Kormos & Denes 2004); pauses count "
        "from 250 ms (de Jong & Bosker 2013). " + RANKED.format(of=READERS, about=about) + " "
        "Long pauses, fillers and repeats: set by us, no corpus here has enough of them.",
        ignores="Whether a pause stands at the end of a thought, where it helps; language; planned "
        "silence. In takes under 20 s one pause more or less moves it much.",
        of="speech",
    )


def _clarity(percentiles: Percentiles) -> Dimension:
    about = f"{_middle(percentiles, 'clarity.vowel_space_area_bark2')} square Bark"
    return Dimension(
        (
            _ranked(percentiles, "clarity.vowel_space_area_bark2", "high"),
            Term("clarity.word_accuracy", curve((0.4, 0), (0.85, 60), (1, 100)), 2, extra=True),
            Term("clarity.word_confidence", curve((0.3, 0), (0.7, 60), (1, 100)), extra=True),
        ),
        "Speakers whose vowels lie further apart are understood somewhat better (Bradlow, Torretta "
        "& Pisoni 1996). "
        + RANKED.format(of=BOTH, about=about)
        + " Words as a recogniser understood them, "
        "where there is a transcript: set by us, no corpus here backs them.",
        ignores="Consonants, unless there is a transcript; accent; which vowels the text holds: "
        "compare takes of the same text.",
        of="speech",
    )


RECORDING_QUALITY = Dimension(
    (
        Term("clarity.snr_db", curve((0, 0), (10, 35), (20, 65), (30, 85), (70, 100)), weight=2),
        Term("clarity.clipped_fraction", curve((0, 100), (0.001, 75), (0.01, 30), (0.05, 0))),
        Term("clarity.bandwidth_hz", curve((1000, 0), (3400, 60), (7000, 100)), extra=True),
        Term(
            "clarity.t60_s",
            curve((0.1, 100), (0.6, 75), (0.9, 60), (1.5, 30), (2.5, 0)),
            extra=True,
        ),
        Term("clarity.hum_db", curve((-70, 100), (-30, 70), (-10, 0)), extra=True),
        Term("clarity.intelligible_recording", curve((0, 0), (100, 100)), extra=True),
    ),
    "The worst of noise, clipping, bandwidth, hum and reverberation. 75 points for a room of "
    "0.6 s, the most that ANSI S12.60 allows a classroom; the other points are set by us: voice "
    "quality is withheld under 10 dB of SNR.",
    ignores="Distortion other than clipping, codecs above their cut-off, and how the microphone "
    "colours the voice.",
    worst=True,
    voice=False,
)

DIMENSIONS: Mapping[str, Dimension] = of(norms.PERCENTILES)
