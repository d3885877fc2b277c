"""Least-squares alignment of point sets: rigid (Kabsch 1976) and similarity (Umeyama 1991), batched."""

import numpy as np


def _check(source: np.ndarray, target: np.ndarray, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.ndim < 2 or target.ndim < 2 or source.shape[-2:] != target.shape[-2:]:
        raise ValueError(
            f"point sets of shapes {source.shape} and {target.shape}: both must be (..., N, D), same N and D"
        )
    weights = np.ones(source.shape[-2]) if weights is None else np.asarray(weights, np.float64)
    if weights.shape[-1:] != source.shape[-2:-1] or (weights < 0).any() or not (weights.sum(-1) > 0).all():
        raise ValueError(
            f"weights {weights.shape}: one weight >= 0 for each of the {source.shape[-2]} points, not all 0"
        )
    return source, target, weights / weights.sum(-1, keepdims=True)


def _fit(source: np.ndarray, target: np.ndarray, weights, reflection: bool):
    source, target, weights = _check(source, target, weights)
    weights = weights[..., None]
    mean_source = (weights * source).sum(-2, keepdims=True)
    mean_target = (weights * target).sum(-2, keepdims=True)
    a, b = source - mean_source, target - mean_target
    covariance = np.swapaxes(weights * b, -1, -2) @ a
    u, s, vt = np.linalg.svd(covariance)
    sign = np.ones_like(s)
    if not reflection:
        sign[..., -1] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    spread = (weights * a * a).sum((-2, -1))
    scale = np.where(spread > 0, (s * sign).sum(-1) / np.where(spread > 0, spread, 1), 1.0)
    return rotation, scale, mean_source, mean_target


def kabsch(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The rotation R (det +1) that minimises sum w |R (source - mean) - (target - mean)|^2.

    Args:
        source, target: (..., N, D), D = 2 or 3; leading axes broadcast.
        weights: (..., N) >= 0, or None.

    Returns:
        float64 (..., D, D); apply as points @ swap(R) or R p.

    Raises:
        ValueError: shapes do not fit, or weights are negative or all zero.
    """
    return _fit(source, target, weights, reflection=False)[0]


def similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, *, reflection: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale, rotation, translation that take `source` nearest to `target` (Umeyama 1991).

    Args:
        source, target: (..., N, D); leading axes broadcast.
        weights: (..., N) >= 0, or None.
        reflection: allow det R = -1 (what scipy.spatial.procrustes does).

    Returns:
        scale (...), rotation (..., D, D), translation (..., D), float64: target ~ scale * source @ R^T +
        translation. The scale is 1 where all source points coincide.

    Raises:
        ValueError: shapes do not fit, or weights are negative or all zero.
    """
    rotation, scale, mean_source, mean_target = _fit(source, target, weights, reflection)
    moved = scale[..., None, None] * (mean_source @ np.swapaxes(rotation, -1, -2))
    return scale, rotation, (mean_target - moved)[..., 0, :]


def transform(points: np.ndarray, scale, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """scale * points @ R^T + translation: points (..., N, D), the rest as `similarity` returns it."""
    scale = np.asarray(scale)[..., None, None]
    return (
        scale * (np.asarray(points) @ np.swapaxes(rotation, -1, -2)) + np.asarray(translation)[..., None, :]
    )


def align(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, *, reflection: bool = False
) -> np.ndarray:
    """`source` moved by its best similarity to `target` (Procrustes): (..., N, D) float64."""
    return transform(source, *similarity(source, target, weights, reflection=reflection))
