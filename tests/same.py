"""Whether two Analyses hold the same numbers."""

import math
from typing import Any

from models.results import Analysis

TOLERANCE = 1e-5
FLOOR = 1e-7  # below it a figure is nothing: no measure has a unit so large
ROUNDED = 0.011  # what two figures may differ by that were rounded to two places
OUTSIDE = {"timing", "source"}  # not measured of the voice


def assert_same_numbers(left: Analysis, right: Analysis, *, rounded: bool = False) -> None:
    """Equal within 1e-5 relative; `rounded`: as far as JSON's rounded figures can show it."""
    a, b = left.model_dump(mode="json"), right.model_dump(mode="json")
    for family in a:
        if family not in OUTSIDE | {"audio"}:
            _compare(a[family], b[family], family, ROUNDED if rounded else 0.0)


def _compare(a: Any, b: Any, where: str, slack: float) -> None:  # noqa: ANN401
    if isinstance(a, float) and isinstance(b, float):
        near = math.isclose(
            a, b, rel_tol=TOLERANCE * 10 if slack else TOLERANCE, abs_tol=max(slack, FLOOR)
        )
        assert near, f"{where}: {a} is not {b}"
    elif isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            _compare(a[key], b[key], f"{where}.{key}", slack)
    elif isinstance(a, list) and isinstance(b, list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _compare(x, y, f"{where}[{i}]", slack)
    else:
        assert a == b, f"{where}: {a} is not {b}"
