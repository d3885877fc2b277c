"""Approximate dense flow F_app on the host, for data pipelines (released code; numpy, no jax)."""

import numpy as np
from scipy.spatial import cKDTree


def approximate_flow(
    reference: np.ndarray, driving: np.ndarray, size: int, hidden: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Where in the reference picture each pixel of the driven picture comes from.

    Each pixel moves as the driving vertex next to it; what lies beside the face moves as its boundary, and the rows below
    the face (the torso) by the mean over all vertices.

    Args:
        reference, driving: projected vertices (N, 2) in pixels, x right and y down.
        hidden: bool (N,), driving vertices that no pixel moves with; None: hidden ones take part, as published.
        size: side S of the picture.

    Returns:
        F_app (S, S, 2), the absolute sampling grid (x, y) with -1 and 1 at the centres of the outer pixels, and the mean
        displacement (2,), both float64. Which of two equally near vertices counts is undefined.

    Raises:
        ValueError: the two point sets differ in shape, or all vertices are hidden.
    """
    reference, driving = np.asarray(reference, np.float64), np.asarray(driving, np.float64)
    if reference.shape != driving.shape or driving.ndim != 2 or driving.shape[1] != 2:
        raise ValueError(f"vertices {reference.shape} and {driving.shape}: both must be (N, 2), same N")
    if hidden is not None and np.all(hidden):
        raise ValueError("all vertices of the driving face are hidden: it looks away from the viewer")
    top = int(np.clip(driving[:, 1].max(), 0, size))  # a face above the picture would count from its end
    reference, driving = 2 * reference / size - 1, 2 * driving / size - 1
    displacement = reference - driving
    mean = displacement.mean(0)
    line = np.linspace(-1, 1, size)
    flow = np.stack(np.broadcast_arrays(line[None, :], line[:, None]), -1)
    seen = slice(None) if hidden is None else ~np.asarray(hidden)
    nearest = cKDTree(driving[seen]).query(flow[:top].reshape(-1, 2))[1]
    flow[:top] += displacement[seen][nearest].reshape(top, size, 2)
    flow[top:] += mean
    return flow, mean
