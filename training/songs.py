"""Songs whose every note, vibrato, glide and key is known: composed, performed, then voiced."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from models import music
from models.audio import ANALYSIS_RATE, Audio
from training import resynthesis, synthesis
from training.demo_take import VOWELS

RATE = 1000  # frames a second of a performance's curves
RANGES = {"bass": (80.0, 330.0), "tenor": (125.0, 520.0), "alto": (170.0, 700.0)}
RANGES |= {"soprano": (250.0, 1100.0)}  # Hz
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
HEARD_AT = np.array([3.0, 1.0, 2.0, 1.0, 2.5, 0.9, 0.7])  # how often each degree is sung
LENGTHS, OFTEN = (0.25, 0.5, 1.0, 1.5, 2.0), (0.06, 0.36, 0.4, 0.08, 0.1)  # beats
SHORTEST = 0.15  # s: of a composed note
GROWING_S = 0.15  # that a vibrato takes from nothing to its extent

Floats = NDArray[np.float64]
Join = Literal["rest", "consonant", "hum", "legato", "glide"]


@dataclass(frozen=True, slots=True)
class Trembling:
    rate_hz: float
    extent_cents: float  # half of peak to peak
    delay_s: float  # from the note's start


@dataclass(frozen=True, slots=True)
class Sung:
    """One note: its vowel's time, and the centre it was sung at (A4 = 440 Hz)."""

    start_s: float
    end_s: float
    midi: float
    join: Join  # what comes before it
    vibrato: Trembling | None


@dataclass(frozen=True, slots=True)
class Performance:
    """What a singer does with a melody, every millisecond."""

    notes: tuple[Sung, ...]
    key: str
    tuning_cents: float
    f0_hz: Floats  # 0 where unvoiced
    level_db: Floats  # of the voice; the quick dips are voiced consonants
    vowel: NDArray[np.int_]  # which of the voice's vowels
    noise: Floats  # 0..1: of an unvoiced consonant


@dataclass(frozen=True, slots=True)
class Song:
    """A performance in somebody's voice."""

    audio: Audio
    sung: Performance


def perform(rng: np.random.Generator, seconds: float = 15.0, voice: str = "") -> Performance:
    """A tune in a key, at 60-160 beats a minute, sung by a voice of the given range."""
    low, high = RANGES[voice or str(rng.choice(list(RANGES)))]
    mode = str(rng.choice(list(SCALES)))
    tonic = int(rng.integers(12))
    tuning = rng.uniform(-45, 45)
    score = _composed(rng, seconds, _degrees(low, high, tonic, mode), tonic)
    plan = _sung(rng, score, tuning / 100)
    wander = _wandering(rng, round((plan[-1].end_s + 0.3) * RATE))
    notes = tuple(_as_held(note, wander) for note in plan)
    curves = _curves(rng, plan, wander)
    return Performance(notes, f"{music.NAMES[tonic]} {mode}", tuning, *curves)


def _degrees(low: float, high: float, tonic: int, mode: str) -> list[tuple[int, float]]:
    """The notes of the scale within a range, half a tone from its ends, and how often each."""
    first, last = (music.hz_to_midi(hz) for hz in (low * 1.04, high / 1.04))
    steps = {(tonic + step) % 12: w for step, w in zip(SCALES[mode], HEARD_AT, strict=True)}
    return [
        (m, steps[m % 12]) for m in range(int(np.ceil(first)), int(last) + 1) if m % 12 in steps
    ]


def _composed(
    rng: np.random.Generator, seconds: float, scale: Sequence[tuple[int, float]], tonic: int
) -> list[tuple[float, float, int]]:
    """(start, length, MIDI number): steps more than leaps, from the tonic to the tonic."""
    beat = 60 / rng.uniform(60, 160)
    pitches, liked = (np.array(part) for part in zip(*scale, strict=True))
    home = np.flatnonzero(pitches % 12 == tonic)
    at, here, score = 0.3, int(rng.choice(home)), list[tuple[float, float, int]]()
    while at < seconds - 4 * beat:
        length = max(SHORTEST, beat * rng.choice(LENGTHS, p=OFTEN))
        score.append((at, length, int(pitches[here])))
        near = liked * np.exp(-0.5 * ((pitches - pitches[here]) / 4.0) ** 2)
        near[here] *= 0.6
        here = int(rng.choice(len(pitches), p=near / near.sum()))
        at += length
    last = home[np.argmin(np.abs(home - here))]
    return [*score, (at, 2 * beat, int(pitches[last]))]


def _sung(
    rng: np.random.Generator, score: Sequence[tuple[float, float, int]], tuning: float
) -> list[Sung]:
    """Each note with its way of beginning, which takes time from the note before."""
    notes, before = list[Sung](), None
    for at, length, midi in score:
        join, room = _join(rng, before, midi, notes[-1] if notes else None)
        if notes:
            notes[-1] = replace(notes[-1], end_s=at - room)
        centre = midi + tuning + 0.12 * rng.standard_normal()
        notes.append(Sung(at, at + length, centre, join, None))
        before = midi
    return [_trembling(rng, note) for note in notes]


def _join(
    rng: np.random.Generator, before: int | None, midi: int, last: Sung | None
) -> tuple[Join, float]:
    """How the note begins and how long that takes; a note must be sung anew to be heard twice."""
    if before is None or last is None:
        return "rest", 0.0
    spare = last.end_s - last.start_s - 0.12
    if spare > 0.3 and rng.random() < 0.15:
        return "rest", rng.uniform(0.15, min(0.8, spare))
    if spare > 0.3 and abs(midi - before) >= 3 and rng.random() < 0.15:
        return "glide", rng.uniform(0.2, min(0.4, spare))
    kind = rng.choice(["consonant", "hum", "legato"], p=[0.4, 0.2, 0.4])
    if kind == "legato" and midi != before:
        return "legato", 0.0
    if kind == "hum":
        return "hum", 0.0
    return "consonant", min(rng.uniform(0.04, 0.11), max(0.03, spare))


def _trembling(rng: np.random.Generator, note: Sung) -> Sung:
    seconds = note.end_s - note.start_s
    if seconds < 0.6 or rng.random() < 0.3:
        return note
    delay = rng.uniform(0.0, min(0.5, seconds - 0.55))
    extent = float(np.exp(rng.uniform(np.log(20), np.log(150))))
    return replace(note, vibrato=Trembling(rng.uniform(4.2, 7.8), extent, delay))


def _as_held(note: Sung, wander: Floats) -> Sung:
    """At the pitch it came to: on average over the note, vibrato aside."""
    start, end = round(note.start_s * RATE), round(note.end_s * RATE)
    return replace(note, midi=note.midi + float(wander[start:end].mean()))


def _curves(
    rng: np.random.Generator, notes: Sequence[Sung], wander: Floats
) -> tuple[Floats, Floats, NDArray[np.int_], Floats]:
    frames = len(wander)
    midi, level = np.full(frames, np.nan), np.full(frames, -90.0)
    vowel, noise = np.zeros(frames, int), np.zeros(frames)
    for index, note in enumerate(notes):
        start, end = round(note.start_s * RATE), round(note.end_s * RATE)
        midi[start:end] = note.midi
        level[start:end] = rng.uniform(-5, 0)
        vowel[start:] = (
            rng.integers(3) if note.join != "legato" or rng.random() < 0.4 else vowel[start]
        )
        _begin(rng, notes[index - 1] if index else None, note, (midi, level, noise))
    voiced = ~np.isnan(midi)
    midi = midi + wander
    for note in notes:
        _tremble(note, midi, level)
    level = _shaped(level + _swelling(rng, frames), voiced)
    _hum(rng, notes, level)
    return (
        np.where(voiced, music.midi_to_hz(np.where(voiced, midi, 69.0)), 0.0),
        level,
        vowel,
        noise,
    )


def _begin(
    rng: np.random.Generator, before: Sung | None, note: Sung, curves: tuple[Floats, ...]
) -> None:
    """The way into a note, drawn into (midi, level, noise)."""
    midi, level, noise = curves
    start = round(note.start_s * RATE)
    if note.join in ("rest", "consonant") and rng.random() < 0.3:
        depth, tau = rng.uniform(0.5, 2.0), rng.uniform(0.012, 0.03) * RATE
        ahead = np.arange(min(150, len(midi) - start))
        midi[start : start + len(ahead)] -= depth * np.exp(-ahead / tau)
    if before is None:
        return
    gap = round(before.end_s * RATE)
    if note.join == "glide":
        midi[gap:start] = np.linspace(before.midi, note.midi, start - gap)
        level[gap:start] = level[gap - 1]
    if note.join == "consonant":
        stop = (start - gap) // 2 if rng.random() < 0.5 else 0
        noise[gap + stop : start] = rng.uniform(0.03, 0.15)
    if note.join in ("legato", "hum"):
        half = round(rng.uniform(0.02, 0.06) * RATE)
        half = min(
            half,
            (round(note.end_s * RATE) - start) // 3,
            (start - round(before.start_s * RATE)) // 3,
        )
        ramp = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 2 * half))
        midi[start - half : start + half] = before.midi + (note.midi - before.midi) * ramp


def _wandering(rng: np.random.Generator, frames: int) -> Floats:
    """Semitones by which nobody holds a pitch: a slow drift and a fast unsteadiness."""
    slow = gaussian_filter1d(rng.standard_normal(frames), 0.4 * RATE, mode="wrap")
    fast = gaussian_filter1d(rng.standard_normal(frames), 0.02 * RATE, mode="wrap")
    return np.asarray(0.08 * slow / slow.std() + 0.04 * fast / fast.std())


def _swelling(rng: np.random.Generator, frames: int) -> Floats:
    """dB by which loudness comes and goes within a phrase."""
    slow = gaussian_filter1d(rng.standard_normal(frames), 0.25 * RATE, mode="wrap")
    return np.asarray(2.0 * slow / slow.std())


def _tremble(note: Sung, midi: Floats, level: Floats) -> None:
    if note.vibrato is None:
        return
    start, end = round(note.start_s * RATE), round(note.end_s * RATE)
    t = np.arange(end - start) / RATE - note.vibrato.delay_s
    depth = np.clip(t / GROWING_S, 0, 1)
    wave = depth * np.sin(2 * np.pi * note.vibrato.rate_hz * t)
    midi[start:end] += note.vibrato.extent_cents / 100 * wave
    level[start:end] += 1.5 * wave


def _shaped(level_db: Floats, voiced: NDArray[np.bool_]) -> Floats:
    """Attacks and releases of some 30 ms at the ends of the voice, loudness without steps."""
    inside = gaussian_filter1d(np.where(voiced, level_db, 0.0), 15)
    share = gaussian_filter1d(voiced.astype(float), 15)
    even = inside / np.maximum(share, 1e-6)
    edge = np.clip(2 * gaussian_filter1d(voiced.astype(float), 8) - 1, 1e-3, 1)
    return np.where(voiced, even + 20 * np.log10(edge), -90.0)


def _hum(rng: np.random.Generator, notes: Sequence[Sung], level_db: Floats) -> None:
    """Voiced consonants: the level dips for 50-90 ms around the note's start."""
    t = np.arange(len(level_db)) / RATE
    for note in notes:
        if note.join == "hum":
            width = rng.uniform(0.05, 0.09)
            level_db -= rng.uniform(8, 16) * np.exp(
                -0.5 * ((t - note.start_s) / (width / 2.4)) ** 4
            )


def synthesised(rng: np.random.Generator, seconds: float = 15.0, voice: str = "") -> Song:
    """Sung by a source-filter voice with three vowels and hissed consonants."""
    sung = perform(rng, seconds, voice)
    f0 = np.repeat(sung.f0_hz, synthesis.RATE // RATE)
    size, seed = rng.uniform(0.85, 1.2), int(rng.integers(1 << 30))
    throat = {"jitter": 0.003, "shimmer": 0.03, "noise_db": rng.uniform(-40, -20)}
    throat["tilt_hz"] = rng.uniform(80, 800)
    sound = np.zeros(len(f0) // 3)
    for index, name in enumerate(rng.permutation(list(VOWELS))[:3]):
        formants = tuple((size * centre, width) for centre, width in VOWELS[name])
        part = synthesis.sing(f0, synthesis.Voice(formants, **throat), seed).audio.samples
        share = _at_rate(gaussian_filter1d((sung.vowel == index).astype(float), 15), len(part))
        sound[: len(part)] += part * share
    return _finished(sound * 10 ** (_at_rate(sung.level_db, len(sound)) / 20), sung, rng)


def resung(
    speech: resynthesis.Speech,
    rng: np.random.Generator,
    seconds: float = 15.0,
    voice: str = "",
) -> Song:
    """Sung with the vowels of somebody's speech, drawn out to the notes (WORLD)."""
    sung = perform(rng, seconds, voice)
    vowels = _vowels(speech)
    power = 10 * np.log10(speech.envelope.mean(1) + 1e-16)
    step = round(resynthesis.PERIOD * RATE / 1000)
    f0, level = sung.f0_hz[::step].copy(), sung.level_db[::step]
    source, shift = np.zeros(len(f0), int), np.zeros(len(f0))
    for note, after in zip(sung.notes, [*sung.notes[1:], None], strict=True):
        a, b = vowels[int(rng.integers(len(vowels)))]
        start = round(note.start_s * RATE / step)
        end = round(after.start_s * RATE / step) if after else len(f0)
        source[start:end] = np.linspace(a, b - 1, end - start).round().astype(int)
        shift[start:end] = power[source[start:end]]  # the level is the performance's alone
    gain = 10 ** ((level - shift) / 10)
    envelope = gaussian_filter1d(speech.envelope[source] * gain[:, None], 2.0, axis=0)
    made = resynthesis.Speech(
        np.zeros(len(f0)), envelope + 1e-16, speech.aperiodicity[source], np.zeros(len(f0), bool)
    )
    made.aperiodicity[f0 <= 0] = 1.0
    return _finished(_evened(resynthesis.synthesise(made, f0), sung), sung, rng)


def _evened(sound: Floats, sung: Performance) -> Floats:
    """At the level of the performance: few harmonics meet somebody else's formants by chance."""
    power = _at_rate(10 ** (sung.level_db / 10), len(sound))
    window = 0.1 * ANALYSIS_RATE
    wanted, found = (gaussian_filter1d(part, window / 2.5) for part in (power, sound**2))
    return np.asarray(sound * np.sqrt(wanted / (found + 1e-7 * found.max())))


def _vowels(speech: resynthesis.Speech) -> list[tuple[int, int]]:
    """Stretches that could be held: voiced and near their loudest, 60 ms and more."""
    power = 10 * np.log10(speech.envelope.mean(1) + 1e-16)
    loud = speech.voiced & (power > np.median(power[speech.voiced]) - 3)
    return [(a, b) for a, b in resynthesis.runs(loud) if b - a >= 12] or [(0, len(power))]


def _at_rate(curve: Floats, samples: int) -> Floats:
    """A curve at RATE, at every sample of 16 kHz."""
    return np.interp(np.arange(samples) * RATE / ANALYSIS_RATE, np.arange(len(curve)), curve)


def _finished(sound: Floats, sung: Performance, rng: np.random.Generator) -> Song:
    """With its consonants and the quiet of a room, 55 dB below."""
    sound = sound / np.abs(sound).max()
    hiss = np.diff(rng.standard_normal(len(sound) + 1))
    burst = _at_rate(gaussian_filter1d(sung.noise, 4), len(sound))
    room = 10 ** (-55 / 20) * 0.2 * rng.standard_normal(len(sound))
    return Song(
        Audio((0.5 * (sound + 0.7 * burst * hiss) + room).astype(np.float32), ANALYSIS_RATE), sung
    )
