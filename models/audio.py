"""Audio: what every model takes in. No torch here, so the API can import it too."""

from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

ANALYSIS_RATE = 16_000  # Hz: every engine works at this rate


class UnreadableAudio(ValueError):
    """The bytes are not audio we can or will decode. `code` is stable, the text says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type["UnreadableAudio"], tuple[str, str]]:
        return type(self), (self.code, self.detail)  # crosses processes whole


@dataclass(frozen=True, slots=True)
class Source:
    """What the take was before decoding."""

    container: str | None = None
    codec: str | None = None
    sample_rate: int | None = None  # Hz
    channels: int = 1
    clipped_fraction: float | None = None  # of samples, at the source's own rate
    sha256: str | None = None  # of the encoded bytes
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audio:
    """A mono take: float32 samples in [-1, 1] and the rate they were taken at."""

    samples: NDArray[np.float32]
    sample_rate: int
    source: Source = field(default_factory=Source)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate

    def at(self, sample_rate: int) -> "Audio":
        """The same take at another rate. Band-limited, so nothing aliases."""
        if sample_rate == self.sample_rate:
            return self
        resampled = soxr.resample(self.samples, self.sample_rate, sample_rate, quality="VHQ")
        return Audio(resampled.astype(np.float32), sample_rate, self.source)
