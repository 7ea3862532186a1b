"""Faults that a version can be told to have, so that rollouts are drilled with real failures.

Only where the operator set VOCALITY_DRILLS; a version's tag `drill.fault` names its fault.
"""

import time
from collections.abc import Sequence
from typing import Literal

from models.engine import Engine, NotFinite, Task
from models.results import FamilyResult

Fault = Literal["crash", "raise", "hang", "slow", "not_finite"]

SLOWER = 10  # times
HANG_S = 600


class Faulty:
    """An engine that was sound when it was warmed up, and is not with users' takes."""

    def __init__(self, engine: Engine, fault: Fault) -> None:
        self._engine, self._fault = engine, fault
        self.family, self.version = engine.family, engine.version

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        if self._fault == "raise":
            raise RuntimeError("told to fail")
        if self._fault == "not_finite":
            raise NotFinite("told to answer with NaN")
        if self._fault == "hang":
            time.sleep(HANG_S)
        started = time.perf_counter()
        answers = self._engine.analyze_batch(tasks)
        if self._fault == "slow":
            time.sleep(SLOWER * (time.perf_counter() - started) + 0.5)
        return answers
