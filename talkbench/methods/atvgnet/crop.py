"""The aligned face crop of ATVGnet, and the way back into the picture. numpy, scipy and OpenCV only.

Coordinates here have pixel centres at whole numbers, as the published code; landmark labels of a `Clip` have them at
+0.5, so 0.5 is taken off first (`points_of`).
"""

import cv2
import numpy as np
from scipy import ndimage

from talkbench.geometry.alignment import similarity

# Nose, right eye and half of the left eye: what the face is aligned by.
RIGID = slice(27, 45)
CANVAS, CROP, MARGIN = 163, 128, 1


def points_of(labels: np.ndarray) -> np.ndarray:
    """Landmark labels (..., 68, 2 or 3) -> (..., 68, 2), float64, pixel centres at whole numbers."""
    return np.asarray(labels, np.float64)[..., :2] - 0.5


def labels_in(labels: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Landmark labels (..., 68, 3) of a picture as labels of its crop, whose `crop_matrix` is `inverse`; float32."""
    back = np.linalg.inv(inverse)
    flat = points_of(labels) @ back[:2, :2].T + back[:2, 2] + 0.5
    depth = np.asarray(labels, np.float64)[..., 2:] * np.sqrt(np.linalg.det(back[:2, :2]))
    return np.concatenate([flat, depth], -1).astype(np.float32)


def matrix(points: np.ndarray, template: np.ndarray) -> np.ndarray:
    """3x3 similarity that takes template pixels (163-pixel canvas), or another face's, to picture pixels; points (68, 2)."""
    scale, rotation, translation = similarity(template[RIGID], points[RIGID])
    made = np.eye(3)
    made[:2, :2], made[:2, 2] = scale * rotation, translation
    return made


def crop_matrix(points: np.ndarray, template: np.ndarray, size: int) -> np.ndarray:
    """3x3 map from pixels of the aligned crop, `size` pixels a side (published: 128), to picture pixels."""
    step = CROP / size
    # The middle of a crop pixel, in canvas pixels: sizes share their outer edges, not their outer centres.
    offset = MARGIN + 0.5 * step - 0.5
    return matrix(points, template) @ np.array([[step, 0, offset], [0, step, offset], [0, 0, 1.0]])


def warp_exact(picture: np.ndarray, inverse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear sampling of (H, W, C) at `inverse` @ (x, y, 1) for each pixel of `size` (height, width); zeros outside.

    float64. OpenCV rounds positions to 1/32 of a pixel; this does not.
    """
    y, x = np.mgrid[: size[0], : size[1]]
    place = np.tensordot(inverse[:2], np.stack([x, y, np.ones_like(x)]).astype(np.float64), 1)
    sample = lambda plane: ndimage.map_coordinates(  # noqa: E731
        plane, place[::-1], np.float64, order=1, mode="grid-constant"
    )
    return np.stack([sample(picture[..., c]) for c in range(picture.shape[-1])], -1)


def warp(picture: np.ndarray, inverse: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As `warp_exact` by OpenCV, quick: same type as `picture`, which has 1 to 4 channels."""
    made = cv2.warpAffine(picture, inverse[:2], size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return made.reshape(*size, -1)


def published_region(picture: np.ndarray, points: np.ndarray, template: np.ndarray) -> dict[str, np.ndarray]:
    """The published alignment of a 163-pixel face picture: `matrix`, `warped` in [0, 1], and the 128-pixel `region`."""
    inverse = matrix(points, template)
    warped = warp_exact(picture / 255.0, inverse, (CANVAS, CANVAS))
    inside = slice(MARGIN, MARGIN + CROP)
    return {"matrix": inverse, "warped": warped, "region": (255 * warped).astype(np.uint8)[inside, inside]}


def paste(picture: np.ndarray, colour: np.ndarray, attention: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Frames of the whole picture from what was drawn in its crop.

    The network's own composition, attention * colour + (1 - attention) * picture, is done in the picture: attention and
    colour go back through the crop's map, so that whatever the attention leaves alone keeps the picture's sharpness.

    Args:
        picture: uint8 (H, W, 3). colour: (T, h, w, 3) in [-1, 1]. attention: (T, h, w, 1) in [0, 1].
        inverse: the crop's `crop_matrix`.

    Returns:
        uint8 (T, H, W, 3).
    """
    back, size = np.linalg.inv(inverse), picture.shape[:2]
    still = picture.astype(np.float32)
    made = np.empty((len(colour), *picture.shape), np.uint8)
    for t, (drawn, share) in enumerate(zip(colour, attention, strict=True)):
        # Weighted by attention before the way back: at the crop's border both fall to zero together.
        share = np.asarray(share, np.float32)
        weighted = np.concatenate([(np.asarray(drawn, np.float32) + 1) * (127.5 * share), share], -1)
        placed = warp(weighted, back, size)
        made[t] = np.clip(np.rint(placed[..., :3] + (1 - placed[..., 3:]) * still), 0, 255)
    return made
