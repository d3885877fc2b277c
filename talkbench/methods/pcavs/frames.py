"""Frames as PC-AVS expects them: alignment, crop, value range, and which pose frame goes with which video frame."""

import cv2
import numpy as np

from talkbench.geometry.alignment import similarity

SIZE = 224
# Means of the eyes and the mouth in an aligned 224-px picture (x, y).
TEMPLATE = np.array([(87, 59), (137, 59), (112, 120)], np.float64)
CROP = 16


class AlignmentError(ValueError):
    """Landmarks that cannot be aligned."""


def three_points(landmarks: np.ndarray) -> np.ndarray:
    """(T, 68, 2 or 3) -> (T, 3, 2): means of the right eye, the left eye and the inner mouth."""
    flat = np.asarray(landmarks, np.float64)[..., :2]
    return np.stack([flat[:, a:b].mean(1) for a, b in ((36, 42), (42, 48), (60, 68))], 1)


def alignment(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The published alignment of a whole video: one scale and rotation, and a smoothed shift that holds the mouth still.

    Args:
        landmarks: (T, 68, 2 or 3) in pixels.

    Returns:
        The similarity (2, 3) of the video's mean points, and the matrices (T, 2, 3) to warp each frame with.

    Raises:
        AlignmentError: no frames, or landmarks that are not finite.
    """
    if not len(landmarks) or not np.isfinite(np.asarray(landmarks)[..., :2]).all():
        raise AlignmentError(
            "alignment needs landmarks of one face in every frame; cut the video to where it is seen"
        )
    points = three_points(landmarks)
    scale, rotation, shift = similarity(points.mean(0), TEMPLATE)
    common = np.concatenate([scale * rotation, shift[:, None]], 1)
    missing = TEMPLATE[2] - (points[:, 2] @ common[:, :2].T + common[:, 2])
    for i in range(1, len(missing)):
        missing[i] = 0.2 * missing[i - 1] + 0.8 * missing[i]
    frames = np.repeat(common[None], len(points), 0)
    frames[:, :, 2] += missing
    return common, frames


def align(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Frames uint8 (T, H, W, 3) and their landmarks -> aligned frames (T, 224, 224, 3), black outside."""
    _, matrices = alignment(landmarks)
    return np.stack([cv2.warpAffine(f, m, (SIZE, SIZE)) for f, m in zip(frames, matrices, strict=True)])


def crop(frames: np.ndarray) -> np.ndarray:
    """The published crop of aligned frames: 1/14 of the side off left and right, 1/7 off the bottom; the size stays."""
    side = frames.shape[1]
    edge = round(CROP * side / SIZE)
    cut = frames[:, : side - 2 * edge, edge : side - edge]
    return np.stack([cv2.resize(frame, (side, side)) for frame in cut])


def to_unit(frames: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) -> float32 in [-1, 1], the networks' range."""
    return frames.astype(np.float32) / 255 * 2 - 1


def ping_pong(count: int, length: int) -> np.ndarray:
    """Which of `length` pose frames goes with each of `count` video frames: forth and back again, int64 (count,)."""
    turn, index = np.divmod(np.arange(count), length)
    return np.where(turn % 2 == 0, index, length - 1 - index)
