"""What is planted is there: ratio, room, edge, clipping; and the same plan plants the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training import planting, rooms
from training.planting import Clean, Plan
from training.recipes.clarity import made

RATE = 16_000


@pytest.fixture(scope="module")
def voice() -> Clean:
    [one] = made(np.random.default_rng(0), 1)
    return one


@pytest.mark.parametrize("noise", planting.NOISES)
@pytest.mark.parametrize("snr_db", [-5.0, 20.0])
def test_the_ratio_is_that_of_the_parts(voice: Clean, noise: planting.Noise, snr_db: float) -> None:
    others = [np.random.default_rng(i).standard_normal(RATE) for i in range(5)]

    done = planting.plant(voice, Plan(noise=noise, snr_db=snr_db, seed=1), others)

    speech = np.asarray(voice.samples, float)
    scale = np.dot(done.samples, speech) / np.dot(speech, speech)
    rest = done.samples - scale * speech
    loud = planting.active_power(scale * speech)
    assert done.snr_db == pytest.approx(snr_db, abs=0.01)
    assert 10 * np.log10(loud / np.mean(rest**2)) == pytest.approx(snr_db, abs=1.0)
    again = planting.plant(voice, Plan(noise=noise, snr_db=snr_db, seed=1), others)
    assert np.array_equal(done.samples, again.samples)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.2])
@pytest.mark.parametrize("metres", [None, 0.5, 3.0])
def test_a_room_dies_away_in_its_time(seconds: float, metres: float | None) -> None:
    room = rooms.Design(seconds, metres, 0.0, seed=3).built

    left = np.cumsum(room.response[::-1] ** 2)[::-1]
    db = 10 * np.log10(left / left[0] + 1e-12)
    first, last = np.argmax(db < -12), np.argmax(db < -32)  # under the direct sound
    assert 3 * (last - first) / RATE == pytest.approx(seconds, rel=0.2)
    assert room.response[0] == 1.0


def test_a_longer_echo_leaves_less_clarity() -> None:
    times = [rooms.Design(seconds, 2.0, 0.0, seed=1).built.c50_db for seconds in (0.2, 0.6, 1.2)]

    assert times == sorted(times, reverse=True)


def test_nothing_is_left_over_the_edge(voice: Clean) -> None:
    for kind, least_db in (("steep", 60.0), ("gentle", 30.0)):
        plan = Plan(snr_db=10.0, width_hz=3000.0, filter=kind)  # type: ignore[arg-type]
        done = planting.plant(voice, plan)
        power = _spectrum(done.samples)
        assert 10 * np.log10(power[1000:2000].mean() / power[6000:].mean()) > least_db
        assert done.width_hz == 3000.0


def _spectrum(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Power by Hz."""
    return np.asarray(np.abs(np.fft.rfft(samples[:RATE] * np.hanning(RATE))) ** 2)


def test_steady_noise_of_a_recording_is_taken_down(voice: Clean) -> None:
    hiss = 0.003 * np.random.default_rng(0).standard_normal(len(voice.samples))

    cleaned = planting.clean(voice.samples + hiss)

    assert cleaned.noise < 0.1 * np.mean(hiss**2)
    assert planting.active_power(cleaned.samples) == pytest.approx(
        planting.active_power(voice.samples), rel=0.05
    )


def test_worse_is_more_of_one_thing() -> None:
    rng, changed = np.random.default_rng(0), set()
    first = Plan(snr_db=20.0, room=rooms.Design(0.3, 1.0, 0.0, 1))
    for _ in range(60):
        after = planting.worse(first, rng)
        moved = [name for name in Plan.__slots__ if getattr(first, name) != getattr(after, name)]
        assert len(moved) == 1
        changed |= set(moved)
        assert after.width_hz <= first.width_hz
        assert after.clipped >= first.clipped
        assert (after.snr_db or 0) <= 20.0
    assert changed == {"snr_db", "room", "width_hz", "clipped", "hum_db"}
