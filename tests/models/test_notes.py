"""Notes are found where they were sung, at the pitch they were sung."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models import music, notes
from models.results import Note

Floats = NDArray[np.float64]


def held(midi: float, seconds: float) -> Floats:
    return np.full(round(100 * seconds), float(midi))


def rest(seconds: float) -> Floats:
    return held(np.nan, seconds)


def find(*parts: Floats, energy_db: Floats | None = None, a4_hz: float = 440.0) -> list[Note]:
    midi = np.concatenate(parts)
    level = np.where(np.isnan(midi), -60.0, -10.0) if energy_db is None else energy_db
    hz = music.midi_to_hz(midi, a4_hz)
    return notes.find(hz, np.full(len(midi), 0.9), level, a4_hz)


def test_a_scale_is_its_notes() -> None:
    steps = [60, 62, 64, 65, 67, 69, 71, 72]

    found = find(*[held(midi, 0.2) for midi in steps])

    assert [note.name for note in found] == ["C4", "D4", "E4", "F4", "G4", "A4", "B4", "C5"]
    assert [note.start_s for note in found] == pytest.approx(np.arange(8) * 0.2, abs=0.03)


def test_fast_semitones_are_kept_apart() -> None:
    found = find(*[held(midi, 0.1) for midi in (60, 61, 62, 63)])

    assert [note.name for note in found] == ["C4", "C#4", "D4", "D#4"]


def test_a_note_with_wide_vibrato_is_one_note() -> None:
    t = np.arange(200) / 100

    [note] = find(67 + 1.2 * np.sin(2 * np.pi * 5.2 * t))

    assert note.name == "G4"
    assert note.cents == pytest.approx(0, abs=8)
    assert note.vibrato is not None
    assert note.vibrato.extent_cents == pytest.approx(120, rel=0.05)


def test_a_note_sung_anew_at_one_pitch_is_two() -> None:
    energy = np.full(80, -10.0)
    energy[37:44] = [-14, -20, -26, -28, -26, -20, -14]

    found = find(held(60, 0.8), energy_db=energy)

    assert len(found) == 2
    assert found[0].end_s == pytest.approx(0.4, abs=0.03)


def test_rests_part_notes() -> None:
    found = find(rest(0.3), held(60, 0.5), rest(0.2), held(60, 0.5))

    assert [note.start_s for note in found] == pytest.approx([0.295, 0.995])
    assert [note.end_s for note in found] == pytest.approx([0.795, 1.495])


def test_what_is_shorter_than_80_ms_is_no_note() -> None:
    assert find(rest(0.2), held(60, 0.07), rest(0.2)) == []


def test_a_slide_is_no_note_but_its_goal_is() -> None:
    [note] = find(np.linspace(55, 62, 50), held(62, 0.8))

    assert note.name == "D4"
    assert note.start_s == pytest.approx(0.5, abs=0.1)


def test_cents_are_from_the_takes_own_a4() -> None:
    [note] = find(held(69.2, 0.5), a4_hz=432.0)

    assert note.name == "A4"
    assert note.cents == pytest.approx(20, abs=0.1)
    assert note.f0_hz == pytest.approx(432 * 2 ** (0.2 / 12))


def test_an_unsteady_note_is_less_stable() -> None:
    rough = 60 + 0.2 * np.random.default_rng(0).standard_normal(100)

    [steady], [unsteady] = find(held(60, 1.0)), find(rough)

    assert steady.stability_cents < 1
    assert unsteady.stability_cents > 10


def test_a_singer_who_is_flat_throughout_has_a_tuning_offset_and_the_same_key() -> None:
    flat = [held(midi - 0.3, 0.3) for midi in (62, 64, 66, 67, 69, 71, 73, 74, 69, 66, 62)]

    found = find(*flat)

    assert notes.intonation(found) == pytest.approx(-30, abs=2)
    assert notes.key(found)[0] == "D major"


@pytest.mark.parametrize("rate", [4.2, 5.5, 7.5])
def test_a_legato_step_within_vibrato_parts_two_notes(rate: float) -> None:
    t = np.arange(100) / 100
    shaking = 1.0 * np.sin(2 * np.pi * rate * t)

    first, second = find(60 + shaking, 63 + shaking)

    assert (first.name, second.name) == ("C4", "D#4")
    assert second.start_s == pytest.approx(1.0, abs=0.05)
    assert first.vibrato is not None
    assert first.vibrato.rate_hz == pytest.approx(rate, abs=0.1)


def test_a_quick_slide_between_two_notes_parts_them_in_its_middle() -> None:
    found = find(held(55, 0.5), np.linspace(55, 67, 12), held(67, 0.5))

    assert [note.name for note in found] == ["G3", "G4"]
    assert found[1].start_s == pytest.approx(0.56, abs=0.03)


def test_a_slow_slide_belongs_to_neither_note() -> None:
    found = find(held(55, 0.5), np.linspace(55, 62, 40), held(62, 0.5))

    assert [note.name for note in found] == ["G3", "D4"]
    assert found[0].end_s == pytest.approx(0.5, abs=0.06)
    assert found[1].start_s == pytest.approx(0.9, abs=0.06)


def test_a_scooped_note_begins_with_its_voice() -> None:
    t = np.arange(80) / 100

    [note] = find(rest(0.2), 60 - 1.5 * np.exp(-t / 0.025), rest(0.2))

    assert note.name == "C4"
    assert note.start_s == pytest.approx(0.2, abs=0.02)


def test_another_octave_for_a_moment_parts_nothing() -> None:
    slipped = held(60, 0.8)
    slipped[40:43] += 12

    [note] = find(slipped)

    assert note.name == "C4"
    assert note.cents == pytest.approx(0, abs=1)


def test_syllables_of_speech_are_no_notes() -> None:
    syllable = np.linspace(56, 53, 18)

    assert find(syllable, rest(0.1), syllable - 1, rest(0.1), np.linspace(50, 54, 15)) == []


def test_energy_that_sways_with_vibrato_parts_nothing() -> None:
    t = np.arange(150) / 100
    shaking = np.sin(2 * np.pi * 6 * t)

    found = find(70 + 0.8 * shaking, energy_db=-12 + 4 * shaking)

    assert len(found) == 1


def test_any_curve_has_an_answer() -> None:
    rng = np.random.default_rng(0)

    for length in range(1, 60):
        jumps = 60 + rng.choice([0.0, 0.9, 12.0], length)
        for note in find(jumps, energy_db=rng.uniform(-40, 0, length)):
            assert note.end_s - note.start_s >= 0.07


def test_silence_has_no_notes() -> None:
    assert find(rest(2.0)) == []
