"""Hertz, MIDI numbers, cents and names agree with one another."""

import numpy as np
import pytest

from models import music


def test_a4_is_midi_69_at_any_a4() -> None:
    assert music.hz_to_midi(440.0) == 69
    assert music.hz_to_midi(442.0, 442.0) == 69
    assert music.midi_to_hz(69, 415.0) == 415.0


def test_hertz_and_midi_are_each_others_inverse() -> None:
    hz = np.geomspace(46, 1400, 50)

    again = music.midi_to_hz(music.hz_to_midi(hz, 443.0), 443.0)

    np.testing.assert_allclose(again, hz, rtol=1e-12)


def test_an_octave_is_1200_cents() -> None:
    assert music.cents_between(880, 440) == pytest.approx(1200)
    assert music.cents_between(440, 466.1638) == pytest.approx(-100, abs=0.01)


@pytest.mark.parametrize(("midi", "name"), [(69, "A4"), (60, "C4"), (61, "C#4"), (21, "A0")])
def test_names_count_octaves_from_c(midi: int, name: str) -> None:
    assert music.name(midi) == name
    assert music.parse(name) == midi


@pytest.mark.parametrize(("text", "midi"), [("Bb2", 46), ("c#3", 49), ("C-1", 0), ("Cb4", 59)])
def test_names_are_read_as_people_write_them(text: str, midi: int) -> None:
    assert music.parse(text) == midi


@pytest.mark.parametrize("text", ["", "H4", "A", "4A", "A44", "A##4"])
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a note"):
        music.parse(text)


def test_the_nearest_note_is_within_half_a_semitone() -> None:
    below, over = music.nearest(69.3)
    above, under = music.nearest(69.6)

    assert (below, above) == (69, 70)
    assert over == pytest.approx(30)
    assert under == pytest.approx(-40)


def test_a_tuning_offset_is_found_across_the_edge_of_a_semitone() -> None:
    midi = np.array([60.48, 62.52, 64.5, 65.49])

    offset = music.tuning_offset_cents(midi, np.ones(4))

    assert abs(offset) == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    ("steps", "tonic", "key"),
    [
        ((0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0), 62, "D major"),
        ((0, 2, 3, 5, 7, 8, 10, 12, 7, 3, 0), 57, "A minor"),
    ],
)
def test_a_scale_has_its_key(steps: tuple[int, ...], tonic: int, key: str) -> None:
    midi = tonic + np.array(steps, float)

    found, correlation = music.key(midi, np.ones(len(midi)))

    assert found == key
    assert correlation > 0.8
