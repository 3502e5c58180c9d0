"""cosine: of the angle between two texts' vectors, which come from an embedder (graders.embed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


def cosine(u: ArrayLike, v: ArrayLike) -> float:
    """The cosine similarity, computed in float64.

    Args:
        u, v: Vectors of one length; float32 values are widened first.

    Returns:
        -1..1, clipped there against rounding. 0.0 when either vector is all zeros: nothing is known of that text.

    Raises:
        ValueError: the lengths differ, or a value is not finite.
    """
    import numpy as np

    a, b = np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"cosine: vectors of shapes {a.shape} and {b.shape}; expected two of the same length"
        )
    top, norms = float(a @ b), float(np.sqrt(a @ a) * np.sqrt(b @ b))
    return _fraction(top, norms)


def cosines(u: Any, v: Any) -> Sequence[float]:
    """`cosine` for each row of two arrays of shape [rows, dims]."""
    return [cosine(a, b) for a, b in zip(u, v, strict=True)]


def _fraction(top: float, norms: float) -> float:
    import math

    if norms == 0:
        return 0.0
    if not (math.isfinite(top) and math.isfinite(norms)):
        raise ValueError("cosine: a vector holds values that are not finite")
    return max(-1.0, min(1.0, top / norms))
