"""HDTF's face mesh in the picture: a linear model and weak perspective (released code; numpy)."""

import numpy as np


def linear_vertices(
    mean: np.ndarray,
    shape_basis: np.ndarray,
    expression_basis: np.ndarray,
    shape: np.ndarray,
    expression: np.ndarray,
) -> np.ndarray:
    """M(c_s, c_e) = mean + shape . shape_basis + expression . expression_basis (paper, equation 2).

    Args:
        mean: (N, 3); shape_basis: (S, N, 3); expression_basis: (E, N, 3).
        shape: (S,) of the clip; expression: (T, E) of its frames.

    Returns:
        (T, N, 3).
    """
    return mean + np.tensordot(shape, shape_basis, 1) + np.tensordot(expression, expression_basis, 1)


def project(
    vertices: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    scale: float | np.ndarray,
    width: int,
    height: int,
) -> np.ndarray:
    """Weak perspective: q = scale V R^T + t, then x = q_x + w/2, y = h - (q_y + h/2) - 1; z = q_z is kept.

    Args:
        vertices: (T, N, 3), y up; rotation: (T, 3, 3); translation: (T, 3) in pixels, rounded to float32 as the released
            code does; scale: pixels per unit, one number or (T,).
        width, height: of the picture.

    Returns:
        (T, N, 3): x right and y down in pixels, integers at pixel centres.
    """
    scale = np.reshape(scale, (-1, 1, 1))
    points = scale * (vertices @ np.swapaxes(rotation, -1, -2))
    points = points + np.asarray(translation, np.float32)[:, None]
    points[..., 0] += width / 2
    points[..., 1] = height - (points[..., 1] + height / 2) - 1
    return points
