"""Whether what a network answers are numbers: checked before anything is made of it."""

from torch import Tensor

from models.engine import NotFinite


def require(*answers: Tensor) -> None:
    """Raises NotFinite. The caller's takes are then asked for one by one (graph.answer)."""
    for answer in answers:
        if not bool(answer.isfinite().all()):
            raise NotFinite(f"{int((~answer.isfinite()).sum())} of {answer.numel()} outputs")
