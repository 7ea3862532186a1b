"""The same measures by the field's instruments: Praat (parselmouth) and openSMILE."""

from typing import Any

from models.audio import Audio


def praat(take: Audio) -> dict[str, float]:
    """F0, formants, HNR, CPPS, jitter, shimmer, intensity, at the settings that ours state."""
    import parselmouth
    from parselmouth.praat import call

    sound = parselmouth.Sound(take.samples.astype("float64"), take.sample_rate)
    pitch = sound.to_pitch_ac(0.01, 75, voicing_threshold=0.45, pitch_ceiling=600)
    points = call([sound, pitch], "To PointProcess (cc)")
    formants = sound.to_formant_burg(0.01, 5, 5500, 0.025, 50)
    harmonicity = sound.to_harmonicity_ac(0.01, 75, 0.1, 4.5)
    cepstrum = call(sound, "To PowerCepstrogram", 60, 0.002, 5000, 50)
    settings = ("no", 0.02, 0.0005, 60, 330, 0.05, "Parabolic", 0.001, 0.05, "Straight", "Robust")
    periods = (0, 0, 0.0001, 0.02, 1.3)
    found = {
        "f0": call(pitch, "Get quantile", 0, 0, 0.5, "Hertz"),
        "hnr": call(harmonicity, "Get mean", 0, 0),
        "cpps": call(cepstrum, "Get CPPS", *settings),
        "intensity": call(sound.to_intensity(75), "Get mean", 0, 0, "dB"),
    }
    for kind in ("local", "local, absolute", "rap", "ppq5", "ddp"):
        found[f"jitter {kind}"] = call(points, f"Get jitter ({kind})", *periods)
    for kind in ("local", "local_dB", "apq3", "apq5", "apq11", "dda"):
        found[f"shimmer {kind}"] = call([sound, points], f"Get shimmer ({kind})", *periods, 1.6)
    for number in (1, 2, 3):
        found[f"f{number}"] = call(formants, "Get quantile", number, 0, 0, "hertz", 0.5)
    return found


class OpenSmile:
    """eGeMAPS functionals: the emotion field's 88 features."""

    def __init__(self) -> None:
        import opensmile

        self._smile: Any = opensmile.Smile(
            opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals
        )

    def __call__(self, take: Audio) -> object:
        return self._smile.process_signal(take.samples, take.sample_rate)
