"""The take that `make demo` analyses: `python -m training.demo_take OUT.flac` makes it anew."""

import sys

import numpy as np
import soundfile

from models.audio import ANALYSIS_RATE, Audio
from training.synthesis import RATE, Floats, Voice, contour, glide, rest, sing

# (centre, bandwidth) in Hz: textbook vowels of an adult voice
VOWELS = {
    "a": ((730.0, 80.0), (1090.0, 90.0), (2440.0, 120.0), (3400.0, 150.0), (4500.0, 200.0)),
    "i": ((290.0, 60.0), (2250.0, 100.0), (3000.0, 140.0), (3500.0, 150.0), (4500.0, 200.0)),
    "u": ((320.0, 60.0), (800.0, 80.0), (2250.0, 120.0), (3300.0, 150.0), (4500.0, 200.0)),
    "e": ((450.0, 70.0), (1950.0, 100.0), (2600.0, 130.0), (3450.0, 150.0), (4500.0, 200.0)),
    "o": ((480.0, 70.0), (900.0, 80.0), (2400.0, 120.0), (3350.0, 150.0), (4500.0, 200.0)),
}
MELODY = ((261.63, "a"), (329.63, "e"), (392.0, "i"), (523.25, "o"))  # C4 E4 G4 C5
PHRASES = (("aieou", 230.0, 160.0), ("oaiea", 210.0, 150.0))  # syllables, first and last F0 in Hz
ROOM_DB = -55  # noise floor of the room, re full scale


def take() -> Audio:
    """A sung arpeggio with vibrato, then two spoken-like phrases with a pause between them."""
    parts = [_silence(0.3)]
    for hz, vowel in MELODY:
        parts += [_sung(hz, vowel), _silence(0.12)]
    for syllables, first, last in PHRASES:
        parts += [_silence(0.45), *_spoken(syllables, first, last)]
    parts.append(_silence(0.4))
    samples = np.concatenate(parts)
    hiss = np.random.default_rng(1).standard_normal(len(samples)) * 10 ** (ROOM_DB / 20)
    return Audio((samples + hiss).astype(np.float32), ANALYSIS_RATE)


def _sung(hz: float, vowel: str) -> Floats:
    f0 = contour(0.9, hz, vibrato_hz=5.5, vibrato_cents=45)
    return _faded(sing(f0, Voice(VOWELS[vowel], jitter=0.002, shimmer=0.02, noise_db=-32)).audio)


def _spoken(syllables: str, first: float, last: float) -> list[Floats]:
    """Syllables of falling pitch, each with its own rise and decay."""
    steps = np.geomspace(first, last, len(syllables) + 1)
    voice = {"jitter": 0.006, "shimmer": 0.05, "noise_db": -24}
    found = []
    for vowel, start, end in zip(syllables, steps, steps[1:], strict=False):
        f0 = np.concatenate([glide(0.15, start * 1.03, end), rest(0.05)])
        sound = sing(f0[: round(0.2 * RATE)], Voice(VOWELS[vowel], level=0.35, **voice)).audio
        found.append(_faded(sound, seconds=0.03))
    return found


def _faded(audio: Audio, seconds: float = 0.05) -> Floats:
    edge = round(seconds * audio.sample_rate)
    shape = np.ones(len(audio.samples))
    shape[:edge] = np.sin(np.linspace(0, np.pi / 2, edge)) ** 2
    shape[-edge:] = shape[:edge][::-1]
    return np.asarray(audio.samples * shape)


def _silence(seconds: float) -> Floats:
    return np.zeros(round(seconds * ANALYSIS_RATE))


if __name__ == "__main__":
    made = take()
    soundfile.write(sys.argv[1], made.samples, made.sample_rate, format="FLAC", subtype="PCM_16")
