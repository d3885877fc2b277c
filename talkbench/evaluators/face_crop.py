"""Faces brought to one place, size and angle by points that speech does not move: what the builtin judges look at."""

from functools import cache

import cv2
import numpy as np

from talkbench.geometry.alignment import similarity
from talkbench.geometry.head import head
from talkbench.geometry.topology import OUTER_EYE_CORNERS, T_SHAPE


@cache
def template() -> np.ndarray:
    """Nose and eye corners (9, 2) of the mean head seen from the front; x right, y down, the nose's mean at 0.

    The unit is the distance of the outer eye corners.
    """
    points = head().vertices[head().landmarks68].astype(np.float64)[:, :2] * (1, -1)
    right, left = points[list(OUTER_EYE_CORNERS)]
    nose = points[27:36].mean(0)
    points = (points[T_SHAPE] - nose) / np.linalg.norm(left - right)
    points.setflags(write=False)
    return points


def jitter(landmarks: np.ndarray, rng: np.random.Generator, clip: float, frame: float) -> np.ndarray:
    """Nose and eye corners (T, 9, 2) of `landmarks` (T, 68, 2), moved as a landmark judge errs.

    Args:
        clip, frame: standard deviation, in shares of the eye distance, of the error that all frames of a clip share and
            of each frame's own; each is partly common to the points and partly of each point alone.
    """
    points = np.asarray(landmarks, np.float64)[:, T_SHAPE]
    eyes = np.linalg.norm(points[:, -1] - points[:, 5], axis=-1).mean()
    together = clip * rng.normal(size=(1, 1, 2)) + frame * rng.normal(size=(len(points), 1, 2))
    alone = clip * rng.normal(size=(1, 9, 2)) + frame * rng.normal(size=(len(points), 9, 2))
    return points + eyes * (together + alone)


def crop(frames: np.ndarray, points: np.ndarray, size: int, eyes: float, centre: tuple[float, float]):
    """Pictures of aligned faces.

    Args:
        frames: (T, H, W, 3) uint8.
        points: (T, 9, 2) nose and eye corners (`T_SHAPE`) in pixels, centres at +0.5.
        size: side of the result in pixels.
        eyes: distance of the outer eye corners of the mean face in it, in pixels.
        centre: the point of the template's plane that lies in its middle.

    Returns:
        (T, size, size, 3) uint8; beyond the frame its edge is repeated.
    """
    target = (template() - centre) * eyes + size / 2
    scale, rotation, shift = similarity(points, target)
    linear = scale[:, None, None] * rotation
    # OpenCV puts pixel centres at whole numbers
    shift = shift + linear.sum(-1) * 0.5 - 0.5
    matrices = np.concatenate([linear, shift[..., None]], -1)
    return np.stack(
        [
            cv2.warpAffine(
                frame, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            for frame, matrix in zip(np.ascontiguousarray(frames), matrices, strict=True)
        ]
    )


def tinted(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 (T, H, W, 3) -> float32 in [0, 1] with one gain, tint, offset, blur and noise for all: as generated ones are."""
    x = pictures.astype(np.float32) / 255
    if rng.random() < 0.5:
        sigma = rng.uniform(0.3, 1.0)
        x = np.stack([cv2.GaussianBlur(picture, (0, 0), sigma) for picture in x])
    gain = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.05, 3))
    x = x * gain.astype(np.float32) + np.float32(rng.normal(0, 0.04))
    if rng.random() < 0.3:
        x = x + rng.normal(0, rng.uniform(0, 0.03), x.shape).astype(np.float32)
    return np.clip(x, 0, 1)
