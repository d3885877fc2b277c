"""Landmarks drawn as coloured lines on white, as the image translation network reads them.

Colours are in the picture's own channel order, which for the published weights is **BGR**.
"""

import cv2
import numpy as np

THICKNESS = 2
_WHITE = 255
_JAW, _BROW, _NOSE = (255, 144, 25), (50, 205, 50), (208, 224, 63)
_EYE, _LIP = (71, 99, 255), (238, 130, 238)

# number of points -> (first, last, closed, colour), in drawing order
LINES = {
    68: (
        (0, 16, False, _JAW),
        (17, 21, False, _BROW),
        (22, 26, False, _BROW),
        (27, 35, False, _NOSE),
        (36, 41, True, _EYE),
        (42, 47, True, _EYE),
        (48, 59, True, _LIP),
        (60, 67, True, _LIP),
    ),
    98: (
        (0, 32, False, _JAW),
        (33, 41, True, _BROW),
        (42, 50, True, _BROW),
        (51, 59, False, _NOSE),
        (60, 67, True, _EYE),
        (68, 75, True, _EYE),
        (76, 87, True, _LIP),
        (88, 95, True, _LIP),
    ),
    74: (
        (0, 16, False, _JAW),
        (17, 21, False, _BROW),
        (22, 26, False, _BROW),
        (27, 35, False, _NOSE),
        (36, 43, True, _EYE),
        (44, 51, True, _EYE),
        (52, 63, True, _LIP),
        (64, 71, True, _LIP),
    ),
}


def draw(points: np.ndarray, size: int = 256, thickness: int | None = None) -> np.ndarray:
    """One face (68, 74 or 98 points, 2 or more numbers each), pixels of `size` -> uint8 (size, size, 3).

    Coordinates are cut to whole pixels. Of 98 points the pupils, of 74 the last two, are not drawn.

    Args:
        thickness: of the lines, pixels; None is the published 2 of 256, in proportion to the size.

    Raises:
        ValueError: another number of points.
    """
    if len(points) not in LINES:
        raise ValueError(f"{len(points)} landmarks: drawings are defined for {', '.join(map(str, LINES))}")
    canvas = np.full((size, size, 3), _WHITE, np.uint8)
    corners = np.asarray(points)[:, :2].astype(int).tolist()
    thickness = thickness or max(1, round(THICKNESS * size / 256))
    for first, last, closed, colour in LINES[len(points)]:
        pairs = list(zip(range(first, last), range(first + 1, last + 1)))
        for a, b in [*pairs, (last, first)] if closed else pairs:
            cv2.line(canvas, corners[a], corners[b], colour, thickness)
    return canvas
