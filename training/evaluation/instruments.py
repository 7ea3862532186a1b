"""The instruments of the field, Praat (parselmouth) and openSMILE, at the settings ours state."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.audio import Audio

RATE, HOP = 16_000, 160
PITCH_HZ = (75, 600)
PERIODS = (0, 0, 0.0001, 0.02, 1.3)
AMPLITUDE = 1.6
CPPS = ("no", 0.02, 0.0005, 60, 330, 0.05, "Parabolic", 0.001, 0.05, "Straight", "Robust")
JITTERS = {"local": 100.0, "local, absolute": 1.0, "rap": 100.0, "ppq5": 100.0, "ddp": 100.0}
SHIMMERS = {"local": 100.0, "local_dB": 1.0, "apq3": 100.0, "apq5": 100.0, "apq11": 100.0}
SHIMMERS["dda"] = 100.0
WINDOW, SPECTRUM = 1024, 2048  # samples: of a frame, and what it is padded to

Floats = NDArray[np.float64]


def whole_frames(samples: Floats) -> Floats:
    """The longest start of a take whose frames are Praat's too, which it centres in the take."""
    return samples[: max(len(samples) - 1, 0) // HOP * HOP + 1]


class Praat:
    """Praat's answers about a take of `whole_frames`; frames are centred on every 160th sample.

    What is not known at a frame is NaN.
    """

    def __init__(self, samples: Floats) -> None:
        import parselmouth
        from parselmouth.praat import call

        self._call = call
        self._count = len(samples) // HOP + 1
        self._sound: Any = parselmouth.Sound(samples, RATE)
        self._pitch: Any = self._sound.to_pitch_ac(
            HOP / RATE, PITCH_HZ[0], voicing_threshold=0.45, pitch_ceiling=PITCH_HZ[1]
        )
        self._hann = parselmouth.WindowShape.HANNING

    def f0_hz(self) -> Floats:
        f0 = self._pitch.selected_array["frequency"]
        return self._on_frames(self._pitch, np.where(f0 > 0, f0, np.nan))

    def perturbations(self) -> dict[str, float]:
        """Jitter and shimmer by our names, in our units."""
        points = self._call([self._sound, self._pitch], "To PointProcess (cc)")
        found = {}
        for kind, scale in JITTERS.items():
            value = self._call(points, f"Get jitter ({kind})", *PERIODS)
            found[f"jitter_{kind.replace(', ', '_')}"] = scale * value
        for kind, scale in SHIMMERS.items():
            asked = [self._sound, points], f"Get shimmer ({kind})", *PERIODS, AMPLITUDE
            found[f"shimmer_{kind.lower()}"] = scale * self._call(*asked)
        return found

    def hnr_db(self) -> Floats:
        curve = self._sound.to_harmonicity_ac(HOP / RATE, PITCH_HZ[0], 0.1, 4.5)
        return self._on_frames(curve, np.where(curve.values[0] > -200, curve.values[0], np.nan))

    def intensity_db(self) -> Floats:
        curve = self._sound.to_intensity(PITCH_HZ[0], HOP / RATE, True)
        times = np.arange(self._count) * HOP / RATE + 0.5 / RATE
        return np.array([curve.get_value(time) for time in times])

    def formants(self, ceiling_hz: float) -> Floats:
        """(frames, 4, 2): F1-F4 and their bandwidths, untracked."""
        found = self._sound.to_formant_burg(0.5 * HOP / RATE, 5, ceiling_hz, 0.025, 50)
        times = np.arange(self._count) * HOP / RATE + 0.5 / RATE
        read = found.get_value_at_time, found.get_bandwidth_at_time
        values = [get(number, time) for time in times for number in (1, 2, 3, 4) for get in read]
        return np.array(values).reshape(self._count, 4, 2)

    def cpps_db(self) -> float:
        cepstra = self._call(self._sound, "To PowerCepstrogram", 60, 0.002, 5000, 50)
        return float(self._call(cepstra, "Get CPPS", *CPPS))

    def mean_power(self) -> Floats:
        """(1025,) Summed power spectra of its voiced frames, cut out by its Hann of 64 ms."""
        total = np.zeros(SPECTRUM // 2 + 1)
        for frame in np.flatnonzero(np.isfinite(self.f0_hz())):
            start = (frame * HOP - WINDOW // 2) / RATE
            part = self._sound.extract_part(start, start + WINDOW / RATE, self._hann, 1, False)
            total += np.abs(np.fft.rfft(part.values[0], SPECTRUM)) ** 2
        return total

    def _on_frames(self, curve: Any, values: Floats) -> Floats:  # noqa: ANN401
        first = round((curve.xs()[0] - 0.5 / RATE) * RATE / HOP)
        row = np.full(self._count, np.nan)
        row[first : first + len(values)] = values
        return row


def praats_report(take: Audio) -> dict[str, float]:
    """All that a voice report is made of, asked once: for timing it."""
    import parselmouth
    from parselmouth.praat import call

    sound = parselmouth.Sound(take.samples.astype("float64"), take.sample_rate)
    pitch = sound.to_pitch_ac(0.01, PITCH_HZ[0], voicing_threshold=0.45, pitch_ceiling=PITCH_HZ[1])
    points = call([sound, pitch], "To PointProcess (cc)")
    formants = sound.to_formant_burg(0.01, 5, 5500, 0.025, 50)
    harmonicity = sound.to_harmonicity_ac(0.01, PITCH_HZ[0], 0.1, 4.5)
    cepstrum = call(sound, "To PowerCepstrogram", 60, 0.002, 5000, 50)
    found = {
        "f0": call(pitch, "Get quantile", 0, 0, 0.5, "Hertz"),
        "hnr": call(harmonicity, "Get mean", 0, 0),
        "cpps": call(cepstrum, "Get CPPS", *CPPS),
        "intensity": call(sound.to_intensity(PITCH_HZ[0]), "Get mean", 0, 0, "dB"),
    }
    for kind in JITTERS:
        found[f"jitter {kind}"] = call(points, f"Get jitter ({kind})", *PERIODS)
    for kind in SHIMMERS:
        found[f"shimmer {kind}"] = call(
            [sound, points], f"Get shimmer ({kind})", *PERIODS, AMPLITUDE
        )
    for number in (1, 2, 3):
        found[f"f{number}"] = call(formants, "Get quantile", number, 0, 0, "hertz", 0.5)
    return found


OPENSMILES = {  # our names: eGeMAPS's name, and the factor to our unit
    "jitter_local": ("jitterLocal_sma3nz_amean", 100.0),
    "shimmer_local_db": ("shimmerLocaldB_sma3nz_amean", 1.0),
    "hnr_db": ("HNRdBACF_sma3nz_amean", 1.0),
    "f1_hz": ("F1frequency_sma3nz_amean", 1.0),
    "f2_hz": ("F2frequency_sma3nz_amean", 1.0),
    "f3_hz": ("F3frequency_sma3nz_amean", 1.0),
    "f1_bandwidth_hz": ("F1bandwidth_sma3nz_amean", 1.0),
    "f2_bandwidth_hz": ("F2bandwidth_sma3nz_amean", 1.0),
    "f3_bandwidth_hz": ("F3bandwidth_sma3nz_amean", 1.0),
    "h1_h2_db": ("logRelF0-H1-H2_sma3nz_amean", 1.0),
    "h1_a3_db": ("logRelF0-H1-A3_sma3nz_amean", 1.0),
    "alpha_ratio_db": ("alphaRatioV_sma3nz_amean", -1.0),
    "hammarberg_index_db": ("hammarbergIndexV_sma3nz_amean", 1.0),
    "slope_0_500_db_per_khz": ("slopeV0-500_sma3nz_amean", 1000.0),
    "slope_500_1500_db_per_khz": ("slopeV500-1500_sma3nz_amean", 1000.0),
}


class OpenSmile:
    """eGeMAPS functionals (Eyben et al. 2016), by its own pitch."""

    def __init__(self) -> None:
        import opensmile

        self._smile: Any = opensmile.Smile(
            opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals
        )

    def __call__(self, take: Audio) -> Mapping[str, float]:
        """The functionals that have our names; nothing where it heard nothing."""
        row = self._smile.process_signal(take.samples, take.sample_rate).iloc[0]
        return {ours: factor * float(row[name]) for ours, (name, factor) in OPENSMILES.items()}
