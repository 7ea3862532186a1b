"""The whole graph: what may not change an Analysis does not, and where nobody is it says so."""

from pathlib import Path

import numpy as np
import pytest

from models import engines, graph
from models.audio import Audio
from models.decode import decode
from models.engine import Engine
from models.results import Analysis, Family, Reason
from tests.same import assert_same_numbers
from tests.signals import join, noise, silence, tone
from training import changes, demo_take, hard_takes
from training.changes import Change

FAMILIES: tuple[Family, ...] = tuple(f for f in graph.FAMILIES if f != "transcript")
CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "librispeech_subset"


@pytest.fixture(scope="module")
def ready() -> dict[Family, Engine]:
    return engines.load_all(FAMILIES, device="cpu")


def takes() -> list[Audio]:
    """Of all lengths and kinds, so that every one is padded and has odd neighbours."""
    sung = demo_take.take()
    return [
        sung,
        tone(220.0, 0.7),
        silence(1.5),
        Audio(sung.samples[40_000:90_000], sung.sample_rate),
        noise(2.0),
        tone(440.0, 0.1),
        join(silence(0.4), sung, silence(1.0)),
        Audio(np.zeros(0, np.float32), sung.sample_rate),
    ]


def test_alone_and_in_a_batch_a_take_is_the_same(ready: dict[Family, Engine]) -> None:
    together = graph.analyze(takes(), ready, FAMILIES)

    for take, mate in zip(takes(), together, strict=True):
        [alone] = graph.analyze([take], ready, FAMILIES)
        assert_same_numbers(alone, mate)


def test_real_speech_is_the_same_alone_and_in_a_batch(ready: dict[Family, Engine]) -> None:
    files = sorted(CORPUS.rglob("*.flac"))[:6]
    if not files:
        pytest.skip("the recordings of ../shared/data are not here")
    audios = [decode(path) for path in files]
    audios = [
        Audio(a.samples[: len(a.samples) // (i + 1)], a.sample_rate) for i, a in enumerate(audios)
    ]

    together = graph.analyze(audios, ready, FAMILIES)

    for take, mate in zip(audios, together, strict=True):
        [alone] = graph.analyze([take], ready, FAMILIES)
        assert_same_numbers(alone, mate)


def spoken() -> list[Audio]:
    """A synthesised take, and a real one where there is one."""
    real = [decode(path) for path in sorted(CORPUS.rglob("*.flac"))[6:7]]
    return [demo_take.take(), *(Audio(a.samples[: 4 * a.sample_rate], a.sample_rate) for a in real)]


@pytest.fixture(scope="module")
def unchanged(ready: dict[Family, Engine]) -> list[Analysis]:
    return graph.analyze(spoken(), ready, FAMILIES)


# What METHODS allows and we do not keep yet, with what we do keep, in the same unit: an edge of
# speech, a nucleus or a glottal cycle at the margin is one more or one less.
BEYOND = {
    ("1 s of silence around", "timbre.jitter_local"): 1.0,
    ("1 s of silence around", "timbre.f1_hz"): 2.0,  # a frame in 191 that crosses the median
    ("1 s of silence around", "timbre.f2_hz"): 1.0,
    ("1 s of silence around", "fluency.articulation_rate_sps"): 1.5,
    ("1 s of silence around", "fluency.speech_rate_sps"): 1.5,
    ("16 to 44.1 to 16 kHz", "timbre.f2_hz"): 10.0,
    ("1.1 times as fast", "fluency.articulation_rate_sps"): 7.0,
    ("1.1 times as fast", "fluency.speech_rate_sps"): 7.0,
}
HARMLESS = [one for one in changes.CHANGES if one.compared is changes.itself]


@pytest.mark.parametrize("change", HARMLESS, ids=[one.name for one in HARMLESS])
def test_a_harmless_change_moves_no_measure_further_than_it_may(
    change: Change, ready: dict[Family, Engine], unchanged: list[Analysis]
) -> None:
    changed = graph.analyze([change.applied(take) for take in spoken()], ready, FAMILIES)

    for name, allowed in change.allowed.items():
        most = BEYOND.get((change.name, name), allowed.most)
        for off in changes.deviations(change, name, zip(unchanged, changed, strict=True)):
            assert isinstance(off, float), f"{name} is measured on one side only"
            assert abs(off) <= most, f"{name} is off by {off} {allowed.unit}"


def test_a_voice_raised_by_three_semitones_is_300_cents_higher(ready: dict[Family, Engine]) -> None:
    raised = next(one for one in changes.CHANGES if one.compared is not changes.itself)
    take = spoken()[-1]  # one: WORLD is slow
    before = graph.analyze([raised.compared(take)], ready, FAMILIES)

    after = graph.analyze([raised.applied(take)], ready, FAMILIES)

    for off in changes.deviations(raised, changes.F0, zip(before, after, strict=True)):
        assert isinstance(off, float)
        assert abs(off) <= raised.allowed[changes.F0].most


NOBODY = {
    "silence": Reason.silence,
    "DC": Reason.silence,
    "nothing at all": Reason.too_short,
    "0.2 s of speech": Reason.too_short,
    "white noise": Reason.no_speech,
    "a click": Reason.no_speech,
    "dither": Reason.no_speech,
}


def test_where_nobody_speaks_the_reason_is_typed(ready: dict[Family, Engine]) -> None:
    made = hard_takes.make(demo_take.take(), demo_take.take(), 2.5)

    found = dict(zip(made, graph.analyze(list(made.values()), ready, FAMILIES), strict=True))

    for name, analysis in found.items():
        reasons = {f: getattr(analysis, f).absent for f in FAMILIES}
        assert all(one is None or one.reason is not Reason.failed for one in reasons.values()), name
        if name in NOBODY:
            assert reasons["fluency"].reason is NOBODY[name], name
            assert reasons["timbre"] is not None, name
    assert found["speech, 5 % clipped"].timbre.absences["jitter_local"].reason is Reason.clipped
    noisy = found["speech at -10 dB in noise"].timbre
    assert Reason.low_snr in {one.reason for one in noisy.absences.values()}
