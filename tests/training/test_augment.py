"""Augmentation does what it says, and never moves the voice in time."""

import numpy as np
import pytest

from tests.signals import RATE, noise, tone
from training import augment
from training.synthesis import glide, sing


def test_noise_is_mixed_at_the_stated_ratio() -> None:
    voice = tone(200).samples
    hiss = augment.coloured(len(voice), 1.0, np.random.default_rng(0))

    sound = augment.mixed(voice, hiss, 6.0)

    added = sound - voice
    assert 10 * np.log10(np.mean(voice**2) / np.mean(added**2)) == pytest.approx(6.0, abs=0.01)


def test_brown_noise_falls_by_six_decibels_an_octave() -> None:
    hiss = augment.coloured(20 * RATE, 2.0, np.random.default_rng(0))

    power = np.abs(np.fft.rfft(hiss)) ** 2
    hz = np.fft.rfftfreq(len(hiss), 1 / RATE)
    low, high = (power[(hz > f) & (hz < 2 * f)].mean() for f in (500, 1000))

    assert 10 * np.log10(low / high) == pytest.approx(6.0, abs=0.5)


def test_a_room_does_not_delay_the_direct_sound() -> None:
    click = np.zeros(RATE)
    click[1000] = 1.0

    sound = augment.in_room(click, 0.5, np.random.default_rng(0))

    assert np.argmax(np.abs(sound)) == 1000
    assert np.abs(sound[:999]).max() < 1e-9
    assert np.abs(sound[1100:5000]).max() > 0


def test_clipping_flattens_the_stated_share() -> None:
    sound = augment.clipped(noise(2.0).samples, 0.02)

    share = np.mean(np.abs(sound) >= np.abs(sound).max() - 1e-9)

    assert share == pytest.approx(0.02, abs=0.002)


def test_a_level_is_a_peak() -> None:
    sound = augment.at_peak(noise().samples, -12.0)

    assert 20 * np.log10(np.abs(sound).max()) == pytest.approx(-12.0, abs=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_every_degradation_is_finite_and_keeps_the_length(seed: int) -> None:
    rng = np.random.default_rng(seed)
    voices = [tone(150, 0.4).samples, tone(220, 3.0).samples]

    sound = augment.degrade(tone(200).samples, rng, voices=voices)

    assert sound.shape == (RATE,)
    assert np.isfinite(sound).all()
    assert 0 < np.abs(sound).max() <= 1.0


def test_the_same_seed_gives_the_same_sound() -> None:
    first, second = (augment.degrade(tone(200).samples, np.random.default_rng(7)) for _ in range(2))

    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("codec", augment.CODECS, ids=lambda codec: f"{codec.name}-{codec.bits}")
def test_a_codec_neither_delays_nor_rescales(codec: augment.Codec) -> None:
    sound = sing(glide(1.5, 120, 240)).audio.samples.astype(float)

    back = augment.coded(sound, codec)

    assert len(back) == len(sound)
    assert np.corrcoef(sound, back)[0, 1] > 0.9
    assert np.std(back) == pytest.approx(np.std(sound), rel=0.15)
