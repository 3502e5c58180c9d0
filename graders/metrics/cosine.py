"""cosine: the cosine of the angle between two texts' vectors."""

from __future__ import annotations

from typing import Any


def cosine(left: Any, right: Any) -> float:
    """The cosine similarity of two vectors (shape [dims] each), computed in float64.

    Range: [-1, 1]; 0 when either vector is zero. Source: by definition.
    """
    import numpy

    u = numpy.asarray(left, dtype=numpy.float64)
    v = numpy.asarray(right, dtype=numpy.float64)
    length = float(numpy.sqrt(u.dot(u)) * numpy.sqrt(v.dot(v)))
    return min(1.0, max(-1.0, float(u.dot(v)) / length)) if length else 0.0
