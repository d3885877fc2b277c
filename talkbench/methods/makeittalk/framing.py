"""How a picture's landmarks become the networks', and the way back: one scale and one turn for a clip.

Network units: outer eye corners of the standard face one apart, x right, y down, z towards the viewer. The *posed* face
stands as in the picture, its origin at the picture's centre; the *frontal* one is registered to the standard face.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from talkbench.geometry.alignment import similarity
from talkbench.geometry.head import head
from talkbench.geometry.topology import T_SHAPE
from talkbench.methods.makeittalk.faces import read_face, register, unit_face
from talkbench.metrics.landmark import weak_perspective

SHIPPED = "shipped"  # the embedded benchmark's mean head


class Framing(NamedTuple):
    """What `frame` found of a source face.

    Attributes:
        scale: units a pixel. centre: (3,) pixels, the origin of posed faces.
        posed, frontal: (68, 3) in network units.
        turn: (3, 3), of a frontal displacement to the posed one: d @ turn.T.
    """

    scale: float
    centre: np.ndarray
    posed: np.ndarray
    frontal: np.ndarray
    turn: np.ndarray

    def units(self, landmarks: np.ndarray) -> np.ndarray:
        """Pixels (..., 68, 3) -> posed network units."""
        return (np.asarray(landmarks, np.float64) - self.centre) * self.scale

    def pixels(self, landmarks: np.ndarray) -> np.ndarray:
        """Posed network units (..., 68, 3) -> pixels."""
        return np.asarray(landmarks, np.float64) / self.scale + self.centre


@cache
def standard_face(path: str = SHIPPED) -> np.ndarray:
    """The frontal face (68, 3) that others are registered to; do not change in place.

    Args:
        path: SHIPPED, or a text file of 68 landmarks as the published code has one.
    """
    if path != SHIPPED:
        return read_face(path)
    data = head()
    return unit_face(data.vertices[data.landmarks68].astype(np.float64) * (1, -1, 1))


def lift(points: np.ndarray, standard: np.ndarray) -> np.ndarray:
    """2-D landmarks (68, 2), pixels, with the depth of the standard face seen from the same side: (68, 3).

    Depth is 0 at the mean of the still points.
    """
    still = standard[T_SHAPE]
    rotation = weak_perspective(still, np.asarray(points, np.float64)[None, T_SHAPE, :2])[0]
    seen = (standard - still.mean(0)) @ rotation.T
    flat = np.asarray(points, np.float64)[:, :2]
    flat = flat - flat[T_SHAPE].mean(0)
    scale = (seen[T_SHAPE, :2] * flat[T_SHAPE]).sum() / np.square(seen[T_SHAPE, :2]).sum()
    return np.concatenate([np.asarray(points, np.float64)[:, :2], scale * seen[:, 2:]], 1)


def stance(posed: np.ndarray, standard: np.ndarray) -> np.ndarray:
    """The standard face standing as a posed one (68, 3) does, same shape and units: where a head is, but not whose."""
    matrix, frontal = register(posed[None], standard)
    return posed + (standard - frontal[0]) @ matrix[0, :3, :3]


def frame(points: np.ndarray, size: int, standard: np.ndarray) -> Framing:
    """Framing of a face by its landmarks (68, 2 or more), pixels of a square picture; a depth of their own is not used,
    since detectors give none.
    """
    lifted = lift(points, standard)
    scale = float(similarity(lifted[T_SHAPE], standard[T_SHAPE])[0])
    centre = np.array([size / 2, size / 2, 0.0])
    posed = (lifted - centre) * scale
    matrix, frontal = register(posed[None], standard)
    return Framing(scale, centre, posed, frontal[0], matrix[0, :3, :3].T)
