"""Syllables: known trains are counted, and hand-marked ones are found."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models import syllables, utterance
from models.audio import Audio
from models.spectra import batch
from models.syllables import Envelope, Indices
from tests import signals
from tests.spoken import Spoken, falling, speak
from training.evaluation import syllable_marks
from training.synthesis import contour, rest, sing

EMODB = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "emodb"


def _found(take: Spoken) -> NDArray[np.float64]:
    [seen] = syllables.envelopes(*batch([take.audio]))
    voiced = np.isfinite(utterance.voicing(take.pitch, len(seen)))
    speech = utterance.inside(take.speech_s, len(seen))
    return np.asarray(syllables.nuclei(seen, voiced, speech) * utterance.HOP_S)


@pytest.mark.parametrize("rate", [2.0, 3.5, 5.0, 6.5, 8.0])
def test_every_syllable_of_a_train_is_found_where_it_is(rate: float) -> None:
    take = speak([5, 9, 3], rate=rate)

    found = _found(take)

    assert len(found) == 17
    assert found == pytest.approx(take.nuclei_s, abs=0.03)


def test_a_moving_melody_makes_no_syllables_of_its_own() -> None:
    take = speak([8, 8], rate=4, melody=falling(220, -8))

    assert len(_found(take)) == 16


@pytest.mark.parametrize("gain_db", [-40, -20, 5])
def test_gain_and_polarity_change_nothing(gain_db: float) -> None:
    take = speak([6, 6])
    turned = take.changed(lambda x: -x * np.float32(10 ** (gain_db / 20)))

    assert _found(turned) == pytest.approx(_found(take))


def test_a_constant_offset_changes_nothing() -> None:
    take = speak([6, 6])

    assert _found(take.changed(lambda x: x + np.float32(0.1))) == pytest.approx(_found(take))


def test_white_noise_20_db_down_changes_no_count() -> None:
    take = speak([6, 9], rate=4.5)
    noise = signals.noise(take.audio.seconds + 1, level=0.01).samples

    noisy = take.changed(lambda x: x + noise[: len(x)])

    assert len(_found(noisy)) == 15


@pytest.mark.parametrize("hz", [70, 85, 95, 105, 110, 130, 195, 205, 300])
def test_a_steady_vowel_is_one_syllable_at_any_pitch(hz: float) -> None:
    held = sing(np.concatenate([rest(0.2), contour(1.5, hz), rest(0.2)]))
    [seen] = syllables.envelopes(*batch([held.audio]))
    inside = utterance.inside([(0.2, 1.7)], len(seen))

    assert len(syllables.nuclei(seen, inside, inside)) == 1


def test_hissing_bursts_are_no_syllables() -> None:
    level = np.full(100, -60.0)
    level[20:30] = level[60:70] = -20.0
    hissing = np.zeros(100, np.bool_)
    hissing[:40] = True
    voiced = np.zeros(100, np.bool_)
    voiced[55:75] = True

    found: Indices = syllables.nuclei(Envelope(level, ~hissing), voiced, np.ones(100, np.bool_))

    assert len(found) == 1
    assert 60 <= found[0] < 70


def test_a_vowel_whose_voicing_was_missed_still_counts_near_voicing() -> None:
    take = speak([6], rate=4)
    [seen] = syllables.envelopes(*batch([take.audio]))
    voiced = np.isfinite(utterance.voicing(take.pitch, len(seen)))
    missed = voiced.copy()
    missed[80:130] = False

    everywhere = np.ones(len(seen), np.bool_)
    assert len(syllables.nuclei(seen, missed, everywhere)) == 6
    assert len(syllables.nuclei(seen, voiced & False, everywhere)) == 0


def test_silence_and_nothing_have_no_syllables() -> None:
    for take in (signals.silence(1), signals.silence(0), signals.silence(1 / 16_000)):
        [seen] = syllables.envelopes(*batch([take]))
        everywhere = np.ones(len(seen), np.bool_)

        assert len(syllables.nuclei(seen, ~everywhere, everywhere)) == 0


def test_vowels_lie_around_their_nuclei_and_never_overlap() -> None:
    take = speak([8], rate=5)
    [seen] = syllables.envelopes(*batch([take.audio]))
    voiced = np.isfinite(utterance.voicing(take.pitch, len(seen)))
    found = syllables.nuclei(seen, voiced, voiced)

    spans = syllables.vowels(seen, voiced, found)

    assert all(start <= at < end for (start, end), at in zip(spans, found, strict=True))
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_batch_mates_and_padding_change_nothing() -> None:
    takes = [
        signals.noise(2.345),
        signals.silence(0.5),
        signals.tone(440, 0.02),
        speak([7]).audio,
    ]

    together = syllables.envelopes(*batch(takes))

    for take, found in zip(takes, together, strict=True):
        [alone] = syllables.envelopes(*batch([take]))
        assert found.level_db == pytest.approx(alone.level_db, rel=1e-5)
        assert (found.sonorant == alone.sonorant).all()


def test_a_long_take_is_read_in_chunks_as_if_it_were_short(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = batch([signals.noise(3)])
    [whole] = syllables.envelopes(*samples)

    monkeypatch.setattr(syllables, "CHUNK", 50)

    assert syllables.envelopes(*samples)[0].level_db == pytest.approx(whole.level_db, rel=1e-6)


def test_an_empty_batch_is_an_empty_answer() -> None:
    assert syllables.envelopes(torch.zeros(0, 0), torch.zeros(0, dtype=torch.long)) == []


def test_hand_marked_syllables_of_emodb_are_found() -> None:
    """De Jong & Wempe's script reaches F1 .883 and a count error of .158 on all of them."""
    pytest.importorskip("parselmouth")
    if not EMODB.exists():
        pytest.skip("EMO-DB is not beside the project")

    hits = marked = found = 0
    errors = []
    for clip in syllable_marks.emodb(EMODB.parent, every=6):
        nuclei = clip.inside(_nuclei_by_praats_voicing(clip.audio).tolist())
        hits += syllable_marks.hits(nuclei, clip.units_s)
        marked, found = marked + len(clip.units_s), found + len(nuclei)
        errors.append(abs(len(nuclei) / len(clip.units_s) - 1))

    assert 2 * hits / (marked + found) >= 0.905
    assert np.mean(errors) <= 0.13
    assert abs(found / marked - 1) <= 0.1


def _nuclei_by_praats_voicing(audio: Audio) -> NDArray[np.float64]:
    import parselmouth

    [seen] = syllables.envelopes(*batch([audio]))
    sound = parselmouth.Sound(audio.samples.astype(np.float64), audio.sample_rate)
    pitch = sound.to_pitch_ac(time_step=0.01, pitch_floor=60, pitch_ceiling=600)
    f0 = np.array([pitch.get_value_at_time(i * utterance.HOP_S) for i in range(len(seen))])
    everywhere = np.ones(len(seen), np.bool_)
    return np.asarray(syllables.nuclei(seen, np.isfinite(f0), everywhere) * utterance.HOP_S)
