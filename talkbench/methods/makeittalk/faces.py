"""Landmarks of a face at rest: registration, normalisation, closing of the mouth, choice of the reference frame.

The network's units: eye corners 36 and 45 one apart, y down. Images: pixels, y down. Landmarks are (..., 68, 3).

The published *standard face* (and the anchor of the T shape) is licensed for non-commercial use and is no part
of this package: functions take a face, which comes from own data or from a file (`read_face`).
"""

from pathlib import Path

import numpy as np

from talkbench.geometry.alignment import kabsch, transform
from talkbench.geometry.topology import INNER_MOUTH, OUTER_EYE_CORNERS, T_SHAPE

VIDEO_RATE, MODEL_RATE = 25.0, 62.5
_WIDTH = 1.6  # distance of the jaw's ends after normalisation
_DEPTH = 0.1  # of the standard face's
_OUTER = ((49, 59), (50, 58), (51, 57), (52, 56), (53, 55))
_INNER = ((61, 67), (62, 66), (63, 65))


class FaceFileError(ValueError):
    """A file of landmarks that cannot be read or has another number of them."""


def read_face(path: str | Path, count: int = 68, columns: int = 3) -> np.ndarray:
    """A face from a text file as the published code writes them, float64 (count, columns)."""
    try:
        values = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise FaceFileError(f"{path}: no text file of {count} landmarks ({error})") from None
    if values.size != count * columns:
        raise FaceFileError(f"{path}: {values.size} numbers, expected {count} landmarks of {columns} numbers")
    return values.reshape(count, columns)


def register(landmarks: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn and move faces (N, 68, 3) so that their still points lie nearest to the reference's (68, 3).

    No scale. The published code iterates with fixed correspondences, so its first round is this answer.

    Returns:
        Transforms (N, 4, 4), landmarks (N, 68, 3), float64.
    """
    source, target = np.asarray(landmarks, np.float64)[:, T_SHAPE], np.asarray(reference, np.float64)[T_SHAPE]
    rotation = kabsch(source, target)
    moved = source.mean(1, keepdims=True) @ np.swapaxes(rotation, -1, -2)
    translation = target.mean(0) - moved[:, 0]
    matrix = np.tile(np.eye(4), (len(source), 1, 1))
    matrix[:, :3, :3], matrix[:, :3, 3] = rotation, translation
    return matrix, transform(landmarks, np.ones(len(source)), rotation, translation)


def mouth_areas(landmarks: np.ndarray) -> np.ndarray:
    """Signed areas of the fan of triangles of the inner mouth, (..., 68, 2 or 3) -> (..., 6)."""
    ring = np.asarray(landmarks)[..., INNER_MOUTH, :2]
    spokes = ring[..., 1:, :] - ring[..., :1, :]
    a, b = spokes[..., :-1, :], spokes[..., 1:, :]
    return 0.5 * (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def reference_frame(landmarks: np.ndarray, step: int = 10) -> int:
    """Index of the frame with the most closed mouth among every `step`-th of (T, 68, 3)."""
    return int(np.abs(mouth_areas(landmarks[::step])).sum(-1).argmin()) * step


def unit_face(landmarks: np.ndarray) -> np.ndarray:
    """Any face (68, 3) in the network's units: eye corners one apart, the origin between nose and eyes."""
    right, left = OUTER_EYE_CORNERS
    centre = landmarks[[33, right, left]].mean(0)
    return (landmarks - centre) / np.linalg.norm(landmarks[left] - landmarks[right])


def resample(values: np.ndarray, source: float = VIDEO_RATE, target: float = MODEL_RATE) -> np.ndarray:
    """(T, ...) at `source` frames/s by linear interpolation at `target`; the end is held."""
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    at = np.arange(0, len(flat), source / target)
    low = np.clip(np.floor(at).astype(int), 0, len(flat) - 1)
    high = np.minimum(low + 1, len(flat) - 1)
    made = flat[low] + (at - low)[:, None] * (flat[high] - flat[low])
    return made.reshape(len(at), *np.shape(values)[1:])


def nudge(face: np.ndarray, size: int = 256) -> np.ndarray:
    """What the demo does to a detected face (68, 3), image pixels: thinner lips, wider eyes.

    Args:
        size: side of the picture; the published 1 and 2 pixels are of 256.
    """
    face, unit = face.copy(), size / 256
    face[49:54, 1] += unit
    face[55:60, 1] -= unit
    face[[37, 38, 43, 44], 1] -= 2 * unit
    face[[40, 41, 46, 47], 1] += 2 * unit
    return face


def close_mouth(face: np.ndarray, inner: float = 0.7, corner: float = 0.5) -> np.ndarray:
    """Close the mouth of a detected face (68, 3), image pixels; the lips keep most of their thickness.

    Args:
        inner: share of the way of the inner lips (and of the outer ones above and below them) to the middle.
        corner: the same for the outer points beside the corners.
    """
    face = face.copy()
    offset = {}
    for upper, lower in _INNER:
        middle = (face[upper] + face[lower]) / 2
        offset[upper], offset[lower] = face[upper] - middle, face[lower] - middle
    for outer, point in zip((50, 51, 52, 58, 57, 56), (61, 62, 63, 67, 66, 65), strict=True):
        face[outer] -= inner * offset[point]
    for outer, point in zip((49, 53, 59, 55), (61, 63, 67, 65), strict=True):
        face[outer] -= corner * offset[point]
    for point, way in offset.items():
        face[point] -= inner * way
    return face


def normalize(face: np.ndarray, depth: np.ndarray | None = None) -> tuple[np.ndarray, float, np.ndarray]:
    """A detected face (68, 3), image pixels, upright in the network's units.

    Args:
        depth: z of the result, (68,); None keeps the face's own, scaled as its x and y.

    Returns:
        The face (68, 3), scale (negative) and shift (2,) that `to_pixels` needs.
    """
    scale = _WIDTH / (face[0, 0] - face[16, 0])
    shift = -0.5 * (face[0, :2] + face[16, :2])
    made = np.empty((68, 3))
    made[:, :2] = -(face[:, :2] + shift) * scale
    made[:, 2] = -(face[:, 2] - face[:, 2].mean()) * scale if depth is None else depth
    return made, float(scale), shift


def normalize_natural(face: np.ndarray, standard: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """`normalize` of the demo for photographs: a tenth of the standard face's (68, 3) depth."""
    return normalize(face, _DEPTH * standard[:, 2])


def to_pixels(landmarks: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
    """The way back: (..., 68, 3) in the network's units -> x, y in pixels, z as it is."""
    made = np.array(landmarks, np.float64)
    made[..., :2] = -made[..., :2] / scale - shift
    return made


def close_drawn_mouth(face: np.ndarray, shares: tuple[float, ...] = (0.75, 0.35, 0.6, 0.6)) -> np.ndarray:
    """Close the mouth of a drawing (68, 3), normalised units; one lip after the other, in y, then x inside.

    Args:
        shares: weight of the upper lip in its own new place and then in the lower lip's; outer lips, inner.
    """
    face = face.copy()
    for pairs, (of_upper, of_lower) in ((_OUTER, shares[:2]), (_INNER, shares[2:])):
        upper, lower = np.array(pairs).T
        face[upper, 1] = of_upper * face[upper, 1] + (1 - of_upper) * face[lower, 1]
        face[lower, 1] = of_lower * face[upper, 1] + (1 - of_lower) * face[lower, 1]
    upper, lower = np.array(_INNER).T
    face[upper, 0] = 0.6 * face[upper, 0] + 0.4 * face[lower, 0]
    face[lower, 0] = 0.6 * face[upper, 0] + 0.4 * face[lower, 0]
    return face
