"""Notes, vibrato, tuning and key of songs whose every note is known, beside other note finders."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import engines, music, notes
from models.audio import ANALYSIS_RATE, Audio
from models.engine import Task
from models.results import Pitch, Vibrato
from training import augment, data, note_metrics, resynthesis, songs
from training.evaluation.intervals import of_ratio
from training.evaluation.report import Section

PACKAGES = ("swift-f0", "praat-parselmouth", "librosa", "pyworld")
SEED, SINGERS, SECONDS = 20_000, 8, 12.0  # singers of each kind, one song each
NOISES = {"clean": None, "20 dB": 20.0, "10 dB": 10.0}
SHORTEST = 0.08  # s: of a rounded note
JOINS: tuple[songs.Join, ...] = ("rest", "consonant", "hum", "legato", "glide")

Floats = NDArray[np.float64]
Notes = Sequence[note_metrics.Timed]


@dataclass(frozen=True, slots=True)
class Singer:
    """A song, who sang it, and how it was made."""

    name: str
    kind: str
    voice: str
    song: songs.Song


@dataclass(frozen=True, slots=True)
class Said:
    """A note of a peer."""

    start_s: float
    end_s: float
    midi: float


def measure(corpora: Path) -> list[Section]:
    singers = material(corpora)
    takes = {name: noisy(singers, snr_db) for name, snr_db in NOISES.items()}
    ours = {name: sung(heard) for name, heard in takes.items()}
    return [
        _notes(singers, takes, ours),
        _beginnings(singers, ours),
        _vibratos(singers, ours),
        _wholes(singers, ours),
    ]


def material(corpora: Path, count: int = SINGERS) -> list[Singer]:
    """Songs of synthetic voices, and of held-out speakers' vowels; the ranges by turns."""
    clips = data.by_speaker(data.corpora(corpora, ["librispeech_subset"])).held_out
    made = []
    for index, clip in zip(range(count), clips, strict=False):
        voice = list(songs.RANGES)[index % len(songs.RANGES)]
        one, two = (np.random.default_rng([SEED, index, kind]) for kind in (0, 1))
        song = songs.synthesised(one, SECONDS, voice)
        made.append(Singer(f"voice {index}", "synthesis", voice, song))
        speech = resynthesis.analyse(clip.audio().samples)
        song = songs.resung(speech, two, SECONDS, voice)
        made.append(Singer(clip.speaker, "WORLD", voice, song))
    return made


def noisy(singers: Sequence[Singer], snr_db: float | None) -> list[Audio]:
    """White and pink noise by turns."""
    rng, takes = np.random.default_rng(SEED), []
    for index, singer in enumerate(singers):
        sound: NDArray[np.floating] = singer.song.audio.samples
        if snr_db is not None:
            slope = 0.0 if index % 4 < 2 else 1.0
            sound = augment.mixed(sound, augment.coloured(len(sound), slope, rng), snr_db)
        takes.append(Audio(augment.at_peak(sound, -6.0), ANALYSIS_RATE))
    return takes


def sung(takes: Sequence[Audio]) -> list[Pitch]:
    """What our engine hears."""
    found = engines.load("pitch").analyze_batch([Task(take) for take in takes])
    return [one for one in found if isinstance(one, Pitch)]


def _notes(
    singers: Sequence[Singer], takes: Mapping[str, list[Audio]], ours: Mapping[str, list[Pitch]]
) -> Section:
    section = Section(
        "Notes",
        f"{len(singers)} songs of {SECONDS:.0f} s and more by as many voices of four ranges "
        "(80-1100 Hz), half of them source-filter voices, half the vowels of held-out speakers "
        "resynthesised by WORLD: 60-160 beats a minute, repeated notes, legato, slides, scoops, "
        "voiced and unvoiced consonants, vibrato of 20-150 cents, drift, detuning, rests. A note "
        "is found if its onset is within 50 ms and its pitch within 50 cents (mir_eval's "
        "transcription); with offsets, its end also within 50 ms or a fifth of its length. "
        "Noise is white or pink.",
        ("", "F1 clean", "F1 20 dB", "F1 10 dB", "precision", "recall", "with offsets", "cents"),
    )
    section.rows.append(
        _row("ours", singers, {name: _lists(found) for name, found in ours.items()})
    )
    for name, finder in PEERS.items():
        try:
            said = {noise: [finder(take) for take in heard] for noise, heard in takes.items()}
        except ImportError:
            section.rows.append((name, *["missing"] * 7))
            continue
        section.rows.append(_row(name, singers, said))
    section.notes.append(
        "Goal: F1 at least .95 clean. Precision, recall, offsets and median error: clean songs."
    )
    return section


def _lists(found: Sequence[Pitch]) -> list[Notes]:
    return [one.notes for one in found]


def _row(
    name: str, singers: Sequence[Singer], said: Mapping[str, Sequence[Notes]]
) -> tuple[object, ...]:
    pooled = {noise: of_ratio(_counts(singers, found)) for noise, found in said.items()}
    clean = said["clean"]
    right = [
        note_metrics.found(one.song.sung.notes, mine)
        for one, mine in zip(singers, clean, strict=True)
    ]
    matched = sum(one.matched for one in right)
    return (
        name,
        *map(str, pooled.values()),
        matched / max(1, sum(one.said for one in right)),
        matched / max(1, sum(one.true for one in right)),
        of_ratio(_counts(singers, clean, offsets=True)).value,
        float(np.median([abs(cents) for cents in _cents_off(singers, clean)] or [np.nan])),
    )


def _counts(
    singers: Sequence[Singer], said: Sequence[Notes], *, offsets: bool = False
) -> dict[str, tuple[float, float]]:
    """Of each singer what F1 is the ratio of."""
    counts = {}
    for singer, mine in zip(singers, said, strict=True):
        one = note_metrics.found(singer.song.sung.notes, mine, offsets=offsets)
        counts[singer.name] = (2.0 * one.matched, float(one.true + one.said))
    return counts


def _cents_off(singers: Sequence[Singer], said: Sequence[Notes]) -> list[float]:
    return [
        100 * (mine[b].midi - singer.song.sung.notes[a].midi)
        for singer, mine in zip(singers, said, strict=True)
        for a, b in note_metrics.matching(singer.song.sung.notes, mine)
    ]


def _beginnings(singers: Sequence[Singer], ours: Mapping[str, list[Pitch]]) -> Section:
    """Recall by the way a note begins, and by who sings."""
    section = Section(
        "Where notes are missed",
        "Share of the true notes found, by the way they begin, by range and by how the song was "
        "made. After a slide of 0.2 s and more a note begins where the slide ends; in a legato, "
        "halfway between the pitches; after a consonant, with its vowel.",
        ("notes", "true", *ours),
    )
    groups: dict[str, Callable[[Singer, songs.Sung], bool]] = {}
    for join in JOINS:
        groups[join] = partial(_begins, join)
    for voice in songs.RANGES:
        groups[voice] = partial(_sings, voice)
    for kind in ("synthesis", "WORLD"):
        groups[kind] = partial(_made, kind)
    for name, belongs in groups.items():
        shares = [_recall(singers, found, belongs) for found in ours.values()]
        section.rows.append((name, shares[0][1], *(hit / max(1, true) for hit, true in shares)))
    return section


def _recall(
    singers: Sequence[Singer], found: Sequence[Pitch], belongs: Callable[[Singer, songs.Sung], bool]
) -> tuple[int, int]:
    hit = true = 0
    for singer, one in zip(singers, found, strict=True):
        truth = singer.song.sung.notes
        pairs = {a for a, _ in note_metrics.matching(truth, one.notes)}
        mine = [index for index, note in enumerate(truth) if belongs(singer, note)]
        hit, true = hit + len(pairs.intersection(mine)), true + len(mine)
    return hit, true


def _begins(join: str, _: Singer, note: songs.Sung) -> bool:
    return note.join == join


def _sings(voice: str, singer: Singer, _: songs.Sung) -> bool:
    return singer.voice == voice


def _made(kind: str, singer: Singer, _: songs.Sung) -> bool:
    return singer.kind == kind


def _vibratos(singers: Sequence[Singer], ours: Mapping[str, list[Pitch]]) -> Section:
    section = Section(
        "Vibrato",
        "Of the notes that were found: 4.2-7.8 Hz, 20-150 cents from centre to peak, beginning "
        "0-0.5 s into the note and growing for 0.15 s; the onset is where half of it is reached. "
        "No peer measures vibrato.",
        ("", "found", "not found", "invented", "rate: error", "95 %", "extent: error", "bias",
         "onset: error"),
    )  # fmt: skip
    for name, found in ours.items():
        pairs = _trembling(singers, found)
        both = [(true, said) for true, said in pairs if true and said]
        rate = np.abs([said.rate_hz - true.rate_hz for true, said in both])
        extent = np.array([said.extent_cents / true.extent_cents - 1 for true, said in both])
        onset = [said.onset_delay_s - true.delay_s - songs.GROWING_S / 2 for true, said in both]
        section.rows.append((
            name, len(both), sum(said is None for true, said in pairs if true),
            sum(true is None for true, said in pairs if said),
            f"{np.median(rate):.3f} Hz", f"{np.percentile(rate, 95):.2f} Hz",
            f"{100 * np.median(np.abs(extent)):.1f} %", f"{100 * np.median(extent):.1f} %",
            f"{np.median(np.abs(onset)):.3f} s",
        ))  # fmt: skip
    return section


def _trembling(
    singers: Sequence[Singer], found: Sequence[Pitch]
) -> list[tuple[songs.Trembling | None, Vibrato | None]]:
    return [
        (singer.song.sung.notes[a].vibrato, one.notes[b].vibrato)
        for singer, one in zip(singers, found, strict=True)
        for a, b in note_metrics.matching(singer.song.sung.notes, one.notes)
    ]


def _wholes(singers: Sequence[Singer], ours: Mapping[str, list[Pitch]]) -> Section:
    section = Section(
        "Tuning, key and range",
        "One figure a song. The tuning is the singer's distance from A4 = 440 Hz (within half a "
        "semitone); the key is one of 24, tunes being drawn from its scale, the tonic triad most "
        "often; mir_eval's key score gives half for a fifth, .3 for the relative key, .2 for the "
        "parallel one. The range goes from the lowest note to the highest.",
        ("", "songs", "tuning: error", "key right", "key score", "range right within a semitone"),
    )
    for name, found in ours.items():
        whole = [(one.song.sung, mine) for one, mine in zip(singers, found, strict=True)]
        tuning = [_apart(true.tuning_cents, notes.intonation(mine.notes)) for true, mine in whole]
        keys = [key_score(true.key, notes.key(mine.notes)[0]) for true, mine in whole]
        ranges = [_same_range(true.notes, mine.notes) for true, mine in whole]
        section.rows.append((
            name, len(whole), f"{np.median(tuning):.1f} cents", float(np.mean(np.array(keys) == 1)),
            float(np.mean(keys)), float(np.mean(ranges)),
        ))  # fmt: skip
    return section


def _apart(one: float, other: float) -> float:
    """Cents between two tunings, across the edge of a semitone if that is nearer."""
    return abs((one - other + 50) % 100 - 50)


def _same_range(truth: Notes, said: Notes) -> bool:
    if not said:
        return False
    ends = [(min, min), (max, max)]
    return all(abs(f(n.midi for n in truth) - g(n.midi for n in said)) < 1 for f, g in ends)


def key_score(truth: str, said: str) -> float:
    """mir_eval's weighted score of a key such as 'A minor'."""
    (one, mode), (other, other_mode) = (text.split() for text in (truth, said))
    step = (music.NAMES.index(other) - music.NAMES.index(one)) % 12
    if mode == other_mode:
        return {0: 1.0, 7: 0.5}.get(step, 0.0)
    if step == 0:
        return 0.2
    return 0.3 if step == (9 if mode == "major" else 3) else 0.0


def _swift(take: Audio) -> list[Said]:
    """SwiftF0 with its own segmentation."""
    from swift_f0 import SwiftF0, segment_notes

    found = segment_notes(SwiftF0().detect(take.samples, take.sample_rate))
    return [Said(note.start, note.end, music.hz_to_midi(note.pitch_hz)) for note in found]


def _praat(take: Audio) -> list[Said]:
    """Praat's autocorrelation, rounded to semitones."""
    import parselmouth

    sound = parselmouth.Sound(take.samples.astype(np.float64), take.sample_rate)
    pitch = sound.to_pitch_ac(time_step=0.01, pitch_floor=60.0, pitch_ceiling=1200.0)
    return rounded(pitch.selected_array["frequency"], pitch.xs()[0], 0.01)


def _pyin(take: Audio) -> list[Said]:
    """pYIN by librosa, rounded to semitones."""
    import librosa

    f0, voiced, _ = librosa.pyin(
        take.samples, fmin=60.0, fmax=1200.0, sr=take.sample_rate, frame_length=1024, hop_length=160
    )
    return rounded(np.where(voiced, f0, 0.0), 0.0, 0.01)


PEERS: dict[str, Callable[[Audio], list[Said]]] = {
    "SwiftF0 and its notes": _swift,
    "Praat, rounded": _praat,
    "pYIN, rounded": _pyin,
}


def rounded(f0_hz: Floats, start_s: float, hop_s: float) -> list[Said]:
    """Runs of 80 ms and more on one semitone: the simplest notes there are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        midi = np.where(f0_hz > 0, music.hz_to_midi(f0_hz), np.nan)
    nearest = np.where(np.isnan(midi), -1, np.round(midi))
    edges = [0, *(np.flatnonzero(np.diff(nearest)) + 1).tolist(), len(nearest)]
    return [
        Said(start_s + (a - 0.5) * hop_s, start_s + (b - 0.5) * hop_s, float(np.median(midi[a:b])))
        for a, b in itertools.pairwise(edges)
        if nearest[a] >= 0 and (b - a) * hop_s >= SHORTEST
    ]
