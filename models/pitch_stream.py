"""Pitch while it is being sung: the engine's network, a declared look-ahead behind the sound."""

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import decoding
from models.decoding import PEAKS, Calibration, Candidates, along, gains, steps
from models.pitch import HOP_S, PitchEngine
from models.pitchnet import LOUDNESS_FRAME, MARGIN, REACH, bin_to_hz
from models.refinement import refined
from models.spectra import HOP

HALF = -(-MARGIN // HOP)  # frames that half a window lasts: no answer comes sooner
USUAL = 20  # frames of look-ahead
SOFTEST = 0.01  # RMS: until something louder was heard, the loudest is taken to be at -40 dBFS
AT_ONCE = 64  # frames in the network at a time

Floats = NDArray[np.float64]
Decided = tuple[int, float, bool, float]  # frame, Hz, voiced, confidence


@dataclass(frozen=True, slots=True)
class Frame:
    """10 ms of a voice; `hz` is None where there is none."""

    time_s: float
    hz: float | None
    confidence: float


class PitchStream:
    """F0 of sound that comes in pieces, of any length: how it is cut changes nothing.

    A frame is answered `look_ahead_frames` of 10 ms after its centre (`look_ahead_ms`): 70 ms are
    half a window; of the rest a third lets the path settle (Viterbi with a fixed lag) and the
    others are the network's view of what follows. The whole take has 210 ms and the path to its
    end. The level is set by the loudest 50 ms so far. What is kept does not grow with the take.
    """

    def __init__(self, engine: PitchEngine, look_ahead_frames: int = USUAL) -> None:
        """Raises ValueError where the look-ahead is shorter than half a window."""
        if look_ahead_frames < HALF:
            raise ValueError(f"A look-ahead of {HALF} frames is the least, for half a window.")
        self.engine = engine
        self.look_ahead_ms = look_ahead_frames * HOP_S * 1000
        self._lag = (look_ahead_frames - HALF) // 3
        self._after = min(look_ahead_frames - HALF - self._lag, REACH)
        self._before = (REACH + HALF) * HOP  # samples of the past that a frame still needs
        self._before += self._lag * HOP
        self._kept = np.zeros(self._before, np.float32)  # the latest sound, silence before it
        self._start = -self._before  # of what is kept, in samples from the beginning
        self._next = 0  # frame that the network hears next
        self._sum, self._summed, self._loudest = 0.0, 0, SOFTEST
        self._path = _Lagging(self._lag, engine.calibration)

    @property
    def _end(self) -> int:
        return self._start + len(self._kept)

    def feed(self, samples: NDArray[np.float32]) -> list[Frame]:
        """The frames that are certain with these samples, mono at 16 kHz, after those before."""
        self._kept = np.concatenate([self._kept, samples.astype(np.float32)])
        due = (self._end // HOP) - self._after - HALF + 1
        return self._answered(due, due + self._after)

    def flush(self) -> list[Frame]:
        """The frames that were still waiting: the take ends here."""
        count = max(self._end, 0) // HOP + 1
        return self._answered(count, count) + [
            self._frame(*decided) for decided in self._path.rest()
        ]

    def _answered(self, due: int, count: int) -> list[Frame]:
        """All frames before `due` are heard; `count` frames are there to be seen."""
        frames = []
        while self._next < due:
            batch = range(self._next, min(due, self._next + AT_ONCE))
            for index, found in zip(batch, self._heard(batch, count), strict=True):
                frames += [self._frame(*decided) for decided in self._path.step(index, found)]
            self._next = batch.stop
            self._forget()
        return frames

    @torch.inference_mode()
    def _heard(self, batch: range, count: int) -> list[Candidates]:
        """What the network says of each frame, with no more after it than the look-ahead."""
        windows = torch.stack([self._window(frame) for frame in batch])
        seen = torch.tensor(batch)[:, None] + torch.arange(-REACH, self._after + 1)
        real = ((seen >= 0) & (seen < count)).to(self.engine.device)
        pitch, voicing = self.engine.network(windows.to(self.engine.device), real)
        here = slice(REACH, REACH + 1)
        found = decoding.candidates(pitch[:, here], voicing[:, here])
        return [
            Candidates(found.bins[i : i + 1], found.mass[i : i + 1], found.voicing[i : i + 1])
            for i in range(len(batch))
        ]

    def _window(self, frame: int) -> Tensor:
        """Its sound, levelled by what was heard until its look-ahead is over."""
        horizon = min((frame + self._after + HALF) * HOP, self._end)
        self._sum += float(self._cut(self._summed, horizon).sum(dtype=np.float64))
        self._summed = horizon
        mean = np.float32(self._sum / max(1, horizon))
        latest = self._cut(max(0, horizon - LOUDNESS_FRAME), horizon) - mean
        power = float(np.square(latest).sum()) / LOUDNESS_FRAME
        self._loudest = max(self._loudest, power**0.5)
        first = (frame - REACH) * HOP - MARGIN
        last = (frame + self._after) * HOP + MARGIN
        sound = np.zeros(last - first, np.float32)
        start, end = max(first, 0), min(last, self._end)
        sound[start - first : end - first] = (self._cut(start, end) - mean) / self._loudest
        return torch.from_numpy(sound)

    def _cut(self, start: int, end: int) -> NDArray[np.float32]:
        return self._kept[start - self._start : end - self._start]

    def _frame(self, index: int, hz: float, voiced: bool, confidence: float) -> Frame:
        """Its F0 made exact."""
        if not voiced:
            return Frame(index * HOP_S, None, confidence)
        first = index * HOP - MARGIN
        sound = torch.from_numpy(self._cut(first, min(first + 2 * MARGIN, self._end)))
        at = -(-MARGIN // HOP)
        sound = torch.nn.functional.pad(sound, (at * HOP - MARGIN, MARGIN))
        here = np.arange(at + 1) == at
        exact = refined(sound[None], np.full((1, at + 1), hz), here[None])
        return Frame(index * HOP_S, float(exact[0, at]), confidence)

    def _forget(self) -> None:
        keep = min(self._next * HOP - self._before, self._summed - LOUDNESS_FRAME)
        if keep > self._start:
            self._kept, self._start = self._kept[keep - self._start :].copy(), keep


@dataclass(frozen=True, slots=True)
class _Step:
    """What a frame offered, and from where each of its states is best reached."""

    index: int
    bins: Floats  # (1, PEAKS)
    mass: Floats  # (1, PEAKS)
    voicing: Floats  # (1,)
    given: Floats  # (1, PEAKS + 1)
    came: NDArray[np.intp]  # (PEAKS + 1,)


class _Lagging:
    """Viterbi's path, decided a few frames late."""

    def __init__(self, lag: int, calibration: Calibration | None) -> None:
        self.lag = lag
        self.calibration = calibration
        self.score = np.zeros(PEAKS + 1)
        self.waiting: deque[_Step] = deque()
        self.last: _Step | None = None

    def step(self, index: int, found: Candidates) -> list[Decided]:
        """One frame more: what is decided by that, if anything."""
        bins, mass, voicing = (
            values[0].double().cpu().numpy() for values in (found.bins, found.mass, found.voicing)
        )
        given = gains(mass, voicing)
        came = self._advanced(bins, given)
        self.last = _Step(index, bins, mass, voicing, given, came)
        self.waiting.append(self.last)
        return [self._oldest()] if len(self.waiting) > self.lag else []

    def rest(self) -> list[Decided]:
        return [self._oldest() for _ in range(len(self.waiting))]

    def _advanced(self, bins: Floats, given: Floats) -> NDArray[np.intp]:
        arriving = np.broadcast_to(given[0], (PEAKS + 1, PEAKS + 1))
        if self.last:
            both = np.stack([self.last.bins, bins], 1), np.stack([self.last.given, given], 1)
            arriving = self.score[:, None] + steps(*both, np.ones((1, 2), bool))[0, :, :, 0]
        self.score = arriving.max(0) - arriving.max()
        return np.asarray(arriving.argmax(0))

    def _oldest(self) -> Decided:
        """Back from the best state of the latest frame."""
        state = int(self.score.argmax())
        for later in list(self.waiting)[:0:-1]:
            state = int(later.came[state])
        one = self.waiting.popleft()
        hz = bin_to_hz(torch.from_numpy(one.bins)).numpy()
        path = along(hz, one.mass, one.voicing, np.array([state]), self.calibration)
        return one.index, float(path.hz[0]), bool(path.voiced[0]), float(path.confidence[0])
