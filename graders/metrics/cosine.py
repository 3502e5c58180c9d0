"""cosine: the cosine of the angle between two texts' vectors, which an embedder makes (graders.embed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def cosine(u: ArrayLike, v: ArrayLike) -> float:
    """The cosine similarity, computed in float64.

    Args:
        u, v: Vectors of one length; float32 values are widened first.

    Returns:
        -1..1, clipped against rounding errors; exactly 1.0 for a vector and itself. 0.0 when either is all zeros, the
        vector of a text without content.

    Raises:
        ValueError: the lengths differ, or a value is not finite.
    """
    import numpy as np

    a, b = np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"cosine: vectors of shapes {a.shape} and {b.shape}; expected two of the same length"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("cosine: a vector holds values that are not finite")
    if not (a.any() and b.any()):
        return 0.0
    a, b = _scaled(a), _scaled(b)
    return max(-1.0, min(1.0, float(a @ b / np.sqrt((a @ a) * (b @ b)))))


def _scaled(vector: NDArray[Any]) -> NDArray[Any]:
    """The vector scaled to a largest value of 1, so that squares neither overflow nor underflow."""
    import numpy as np

    scaled: NDArray[Any] = vector / np.abs(vector).max()
    return scaled
