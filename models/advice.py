"""What feedback says: its sentences, as data. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models import scores as scoring
from models.results import Pitch, Reason
from models.scores import Results

NAMED_NOTES = 3
OFF_CENTS = 15.0  # a note worth naming


@dataclass(frozen=True, slots=True)
class Rule:
    """What to say when a measure lies on one side of its target.

    `finding` and `action` may name {value}, {target} and {where}; `detail` says more of the take.
    """

    measure: str
    side: Literal["low", "high"]
    finding: str
    action: str
    detail: Callable[[Results], str] | None = None
    scale: float = 1.0  # from the measure's unit to the sentence's


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What to say when a family could not measure the take at all."""

    finding: str
    action: str
    benefit: float


OBSTACLES: Mapping[Reason, Obstacle] = {
    Reason.silence: Obstacle(
        "There is no sound in this take.",
        "Check that the right microphone is chosen, unmuted and turned up; then record again.",
        150,
    ),
    Reason.no_speech: Obstacle(
        "No voice was found in this take.",
        "Come within a hand's width or two of the microphone and speak or sing over the room.",
        140,
    ),
    Reason.too_short: Obstacle(
        "The take is too short to measure.",
        "Record at least 5 seconds; half a minute gives much surer numbers.",
        130,
    ),
    Reason.insufficient_voiced_audio: Obstacle(
        "There is too little voiced sound in this take.",
        "Record a few full sentences, or hold a comfortable vowel for 3 seconds.",
        120,
    ),
    Reason.clipped: Obstacle(
        "The recording is clipped, so voice quality could not be measured.",
        "Turn the input gain down until the loudest moments stay 6 dB under full scale.",
        110,
    ),
    Reason.low_snr: Obstacle(
        "Noise hides the voice, so voice quality could not be measured.",
        "Move closer to the microphone and switch off fans and music; then record again.",
        110,
    ),
}


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    if len(words) == 1:
        return words[0]
    return ", ".join(words[:-1]) + " and " + words[-1]


def _worst_notes(results: Results) -> str:
    """' A4 at 2.1 s was 32 cents flat, ...': the notes furthest from their pitch."""
    pitch = results["pitch"]
    assert isinstance(pitch, Pitch)  # the measure came from it
    offset = scoring.tuning_offset(pitch)
    notes = [(scoring.off_cents(note, offset), note) for note in scoring.held_notes(pitch)]
    worst = sorted(notes, key=lambda each: -abs(each[0]))[:NAMED_NOTES]
    told = [
        f"{note.name} at {note.start_s:.1f} s was {abs(off):.0f} cents "
        f"{'sharp' if off > 0 else 'flat'}"
        for off, note in sorted(worst, key=lambda each: each[1].start_s)
        if abs(off) >= OFF_CENTS
    ]
    return f" {listed(told)}." if told else ""


def _unsteadiest_notes(results: Results) -> str:
    pitch = results["pitch"]
    assert isinstance(pitch, Pitch)  # the measure came from it
    notes = scoring.notes_without_vibrato(pitch)
    worst = sorted(notes, key=lambda note: -note.stability_cents)[:NAMED_NOTES]
    told = [f"{note.name} at {note.start_s:.1f} s ({note.stability_cents:.0f})" for note in worst]
    return f" Least steady: {listed(told)}."


def _longest_pauses(results: Results) -> str:
    """' The longest, 1.8 s, begins at 12.4 s.'"""
    spans = results["fluency"].measures["pauses_per_minute"].evidence_s
    if not spans:
        return ""
    start, end = max(spans, key=lambda span: span[1] - span[0])
    return f" The longest, {end - start:.1f} s, begins at {start:.1f} s."


_RULES = (
    Rule(
        "pitch.notes_off_cents",
        "high",
        "Your held notes are {value} cents from the pitch on average; {target} is a good aim.",
        "Sing the phrase slowly against a drone; slide into each note until the beating stops.",
        _worst_notes,
    ),
    Rule(
        "pitch.notes_unsteady_cents",
        "high",
        "Pitch moves by {value} cents inside your held notes; {target} is a good aim.",
        "Hold one easy vowel for 6 seconds on an even breath, and watch the pitch line.",
        _unsteadiest_notes,
    ),
    Rule(
        "pitch.vibrato_regularity",
        "low",
        "Your vibrato's regularity is {value} of 100{where}; {target} is a good aim.",
        "Swing evenly between two neighbouring notes, four to a beat at 84, then let the swing "
        "shrink until it runs by itself.",
        scale=100,
    ),
    Rule(
        "timbre.cpps_voiced_db",
        "low",
        "The tone stands {value} dB over breath and noise (cepstral peak prominence); {target} dB "
        "is a good aim.",
        "Start phrases with a gentle 'mm' at a comfortable pitch and carry that buzz into the "
        "vowels.",
    ),
    Rule(
        "timbre.hnr_db",
        "low",
        "Your voice's harmonics stand {value} dB over its noise; {target} dB is a good aim.",
        "Hum through a straw for a minute, then repeat the phrase with as little air.",
    ),
    Rule(
        "timbre.jitter_local",
        "high",
        "The periods of your voice vary by {value} % (jitter); {target} % is a good aim.",
        "Breathe a little earlier, so that each phrase ends before the air runs out.",
    ),
    Rule(
        "timbre.shimmer_local",
        "high",
        "Loudness varies by {value} % from period to period (shimmer); {target} % is a good aim.",
        "Hold soft vowels on an even breath for 5 seconds, several times, before you record.",
    ),
    Rule(
        "timbre.singers_formant_db",
        "low",
        "Ring: 2.4-3.2 kHz lies {value} dB from the energy below; unamplified classical voices "
        "come nearer to {target} dB.",
        "If ring is what you want, sing 'nyeah' bright and narrow on five-note scales, then open "
        "the vowel and keep the brightness.",
    ),
    Rule(
        "prosody.expressiveness",
        "low",
        "Your delivery is even: expressiveness is {value} of 100; the middle of ordinary takes is "
        "{target}.",
        "Choose the one word a sentence that matters most, and lift its pitch clearly.",
        scale=100,
    ),
    Rule(
        "fluency.articulation_rate_sps",
        "high",
        "You articulate {value} syllables a second; nine of ten speakers stay under {target}.",
        "Read the same text and take a full breath at every stop.",
    ),
    Rule(
        "fluency.articulation_rate_sps",
        "low",
        "You articulate {value} syllables a second; nine of ten speakers say more than {target}.",
        "Group words into phrases of one breath and say each phrase as if it were one word.",
    ),
    Rule(
        "fluency.words_per_minute",
        "high",
        "You say {value} words a minute; up to {target} is a good aim.",
        "Pause for one breath at every full stop.",
    ),
    Rule(
        "fluency.words_per_minute",
        "low",
        "You say {value} words a minute; from {target} on is a good aim.",
        "Look one phrase ahead while you speak, and say it in one go.",
    ),
    Rule(
        "fluency.phonation_ratio",
        "low",
        "You speak for {value} % of the time; the middle of ordinary takes is {target} %.",
        "Plan a whole sentence in silence, then say it through to the end before you stop.",
        scale=100,
    ),
    Rule(
        "fluency.pauses_per_minute",
        "high",
        "You pause {value} times a minute; the middle of ordinary takes is {target}.",
        "Keep the pauses at commas and full stops, and join the words in between.",
        _longest_pauses,
    ),
    Rule(
        "fluency.mean_length_of_run",
        "low",
        "You say {value} syllables between pauses; the middle of ordinary takes is {target}.",
        "Mark the places to breathe in the text, and pause there.",
    ),
    Rule(
        "fluency.pause_p90_s",
        "high",
        "Your long pauses last {value} s and more{where}; {target} s is a good aim.",
        "Have the first words of the next sentence ready before you end this one.",
    ),
    Rule(
        "fluency.filler_rate",
        "high",
        "You use {value} fillers a minute{where}; {target} is a good aim.",
        "Where an 'um' wants to come, close your mouth and breathe instead.",
    ),
    Rule(
        "fluency.repetition_rate",
        "high",
        "{value} % of your words are repeats{where}; {target} % is a good aim.",
        "Slow the first word of each sentence; a clean start repeats less.",
    ),
    Rule(
        "clarity.vowel_space_area_bark2",
        "low",
        "Your vowels span {value} square Bark; the middle of ordinary takes is {target}.",
        "Read aloud with lips and jaw moving more than feels natural, then relax half-way.",
    ),
    Rule(
        "clarity.word_accuracy",
        "low",
        "{value} % of the words of the text were understood; {target} % is a good aim.",
        "Read the text again and sound every final consonant.",
        scale=100,
    ),
    Rule(
        "clarity.word_confidence",
        "low",
        "A recogniser understood your words with a confidence of {value} %; {target} % is a good "
        "aim.",
        "Slow down a little and sound every final consonant.",
        scale=100,
    ),
    Rule(
        "clarity.snr_db",
        "low",
        "The voice is {value} dB over the noise; from {target} dB on, measures are sure.",
        "Move closer to the microphone.",
    ),
    Rule(
        "clarity.clipped_fraction",
        "high",
        "{value} % of the samples are clipped{where}.",
        "Turn the input gain down until the loudest moments stay 6 dB under full scale.",
        scale=100,
    ),
    Rule(
        "clarity.bandwidth_hz",
        "low",
        "The recording carries next to nothing over {value} Hz, as over a telephone or Bluetooth; "
        "{target} Hz is a good aim.",
        "Record with a plain microphone app as WAV or FLAC, without Bluetooth.",
    ),
    Rule(
        "clarity.t60_s",
        "high",
        "The room rings for {value} s; up to {target} s voices measure well.",
        "Record facing a curtain or an open wardrobe.",
    ),
    Rule(
        "clarity.hum_db",
        "high",
        "Mains hum lies {value} dB re the voice; under {target} dB it does no harm.",
        "Unplug the laptop's charger while you record.",
    ),
    Rule(
        "clarity.intelligible_recording",
        "low",
        "Noise and room together leave an intelligibility of {value} of 100; {target} is a good "
        "aim.",
        "Move closer to the microphone and to soft furniture, then record again.",
    ),
)
RULES: Mapping[tuple[str, str], Rule] = {(rule.measure, rule.side): rule for rule in _RULES}
