"""The face mesh in a clip's pictures: what moves it, and where its vertices lie. numpy only, runs in loader workers.

The head's motion is the paper's five numbers a frame (section 2 of the supplement): yaw, pitch and roll in degrees, and
the place of the head's pivot, x right and y down. Lengths are in shares of the picture's side.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from talkbench.geometry.face_model import free_model
from talkbench.geometry.head import EXPRESSION_NAMES, FACE, PIVOT, head
from talkbench.geometry.rotations import head_rotation

EXPRESSIONS = len(EXPRESSION_NAMES)
EYEBROWS = tuple(i for i, name in enumerate(EXPRESSION_NAMES) if name.startswith("brow"))
MOUTH = tuple(i for i in range(EXPRESSIONS) if i not in EYEBROWS)
HEAD = 5
# Landmarks that the 33 expressions and the pose decide: eyelids blink besides.
_STEADY = [*range(36), *range(48, 68)]


@dataclass(frozen=True)
class Motion:
    """What moves the mesh of a clip, T frames.

    Attributes:
        shape: (60,). expression: (T, 33), in the order of `EXPRESSION_NAMES`.
        head: (T, 5) yaw, pitch, roll in degrees, the pivot's x and y in shares of the side.
        scale: shares of the side per unit of the model, one for the clip.
    """

    shape: np.ndarray
    expression: np.ndarray
    head: np.ndarray
    scale: float

    def at(self, frames) -> "Motion":
        """Some frames of it."""
        return replace(self, expression=self.expression[frames], head=self.head[frames])


def _turned(shape, expression, angles, vertices=slice(None)) -> np.ndarray:
    """Vertices about the pivot after the turn, (T, N, 2), x right and y down, in units of the model."""
    model = free_model()
    rest = model.mean[vertices] - PIVOT + np.tensordot(shape, model.shape_basis[:, vertices], 1)
    moved = rest + np.tensordot(expression, model.expression_basis[:EXPRESSIONS, vertices], 1)
    return (moved @ np.swapaxes(head_rotation(angles), 1, 2))[..., :2] * (1, -1)


def points(motion: Motion, size: int) -> np.ndarray:
    """The 468 vertices in pictures `size` pixels a side: (T, 468, 2) pixels, integers at pixel centres as in HDTF's flow."""
    turned = _turned(motion.shape, motion.expression, motion.head[:, :3])
    return size * (motion.scale * turned + motion.head[:, None, 3:]) - 0.5


@cache
def _corners() -> tuple[np.ndarray, np.ndarray]:
    """Triangles of the face (F, 3), and which vertices they touch (F, 468)."""
    triangles = head().triangles
    triangles = triangles[(triangles < FACE.stop).all(1)]
    touched = np.zeros((len(triangles), FACE.stop), np.float32)
    for corner in triangles.T:
        touched[np.arange(len(triangles)), corner] = 1
    return triangles, touched


def hidden(points: np.ndarray) -> np.ndarray:
    """Which vertices (T, 468, 2) face away: all triangles around them are seen from behind. bool (T, 468)."""
    triangles, touched = _corners()
    first, second, third = (points[:, corner] for corner in triangles.T)
    a, b = second - first, third - first
    front = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0] < 0  # counter-clockwise, y down
    return (front.astype(np.float32) @ touched == 0) & (touched.sum(0) > 0)


def from_labels(
    shape: np.ndarray, expression: np.ndarray, angles: np.ndarray, landmarks: np.ndarray, size: int
) -> Motion:
    """Motion of labelled frames; scale and places are those that bring the mesh to the landmarks.

    Args:
        shape: (60,). expression: (T, 33). angles: (T, 3) degrees. landmarks: (T, 68, 2 or 3) pixels, centres at +0.5.
        size: side of the pictures.
    """
    marks = np.asarray(free_model().landmarks)[_STEADY]
    turned = _turned(shape, expression, angles, marks)
    target = np.asarray(landmarks, np.float64)[:, _STEADY, :2] / size
    middle, centre = turned.mean(1), target.mean(1)
    away = turned - middle[:, None]
    scale = float((away * (target - centre[:, None])).sum() / np.square(away).sum())
    return Motion(shape, expression, np.concatenate([angles, centre - scale * middle], 1), scale)


def mirrored_flow(flow: np.ndarray) -> np.ndarray:
    """F_app (S, S, 2) of the mirrored pictures."""
    return np.ascontiguousarray(flow[:, ::-1] * np.array([-1, 1], flow.dtype))
