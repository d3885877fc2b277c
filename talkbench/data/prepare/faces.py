"""Where the faces are: landmark files, landmark back ends, or boxes of a small frontal detector.

Boxes are left, top, right, bottom in pixels (edges at whole numbers) from forehead to chin and from jaw to jaw; landmarks are
in `Clip`'s convention. A back end is any object with `name` and `landmarks(frames uint8 (T, H, W, 3)) -> (T, 68, 2 or 3)`,
NaN where it finds no face; it is named as "module:function" so that worker processes can make their own.
"""

import importlib
from functools import cache

import cv2
import numpy as np

DETECTION_SIDE = 160  # the picture's shorter side that the detector sees
_FOREHEAD = 0.25  # the 68 points begin at the brows; a face box begins this share of their height above
# The detector's square against the face box, fitted on 1,600 frames with landmarks of eleven clips.
_WITHIN = np.array([0.13, 0.0, 1.02, 1.12])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes, counting pixels inclusively as the published cropping does."""
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    area = lambda box: (box[2] - box[0] + 1) * (box[3] - box[1] + 1)  # noqa: E731
    return float(width * height / (area(a) + area(b) - width * height))


def boxes_of(points: np.ndarray) -> np.ndarray:
    """Face boxes (T, 4) of landmarks (T, 68, >= 2); NaN where they are."""
    low, high = points[..., :2].min(1), points[..., :2].max(1)
    top = low[:, 1] - _FOREHEAD * (high[:, 1] - low[:, 1])
    return np.stack([low[:, 0], top, high[:, 0], high[:, 1]], 1).astype(np.float32)


@cache
def _cascade():
    import skimage.data
    from skimage.feature import Cascade

    return Cascade(skimage.data.lbp_frontal_face_cascade_filename())


def detect(frame: np.ndarray) -> np.ndarray:
    """Frontal faces in uint8 (H, W, 3), largest first: boxes (n, 4), of which none lies within another."""
    height, width = frame.shape[:2]
    scale = DETECTION_SIDE / min(height, width)
    small = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    # neighbours are grouped in the order of threads: workers run with one, so that results do not depend on it
    found = _cascade().detect_multi_scale(
        small, 1.15, 1, (32, 32), (DETECTION_SIDE, DETECTION_SIDE), min_neighbor_number=3
    )
    squares = sorted(((f["width"], f["c"], f["r"]) for f in found), reverse=True)
    kept: list[np.ndarray] = []
    for side, x, y in squares:
        box = (np.array([x, y, x, y]) + side * _WITHIN) / scale
        centre = (box[:2] + box[2:]) / 2
        if not any((old[:2] < centre).all() and (centre < old[2:]).all() for old in kept):
            kept.append(box)
    return np.array(kept, np.float32).reshape(-1, 4)


@cache
def open_backend(call: tuple[str, ...]):
    """What `Settings.backend` or `Settings.sync_backend` names: ("module:function", argument, ...), made once a process."""
    module, _, function = call[0].partition(":")
    return getattr(importlib.import_module(module), function)(*call[1:])


def follow(found: dict[int, np.ndarray], first: int, end: int, gap: int) -> list[tuple[int, np.ndarray]]:
    """Tracks of faces through one shot.

    Args:
        found: boxes (n, 4) by frame, of the frames that were looked at; those in first <= frame < end count.
        gap: a track ends where its face is not found for more frames than this.

    Returns:
        (first frame, boxes (n, 4) of each frame, gaps filled linearly), without overlap in time (of two the one of greater
        area stays), in order of time. Tracks reach up to `gap` frames beyond their last sighting.
    """
    tracks: list[dict[int, np.ndarray]] = []
    for number in sorted(n for n in found if first <= n < end):
        free = [t for t in tracks if number - max(t) <= gap]
        for box in found[number]:
            best = max(free, key=lambda t: overlap(t[max(t)], box), default=None)
            if best is not None and overlap(best[max(best)], box) > 0.5:
                best[number] = box
                free = [t for t in free if t is not best]
            else:
                tracks.append({number: box})
    taken: list[tuple[int, int, dict]] = []
    for track in sorted(tracks, key=lambda t: -sum(float((b[2] - b[0]) * (b[3] - b[1])) for b in t.values())):
        begin, stop = max(min(track) - gap, first), min(max(track) + gap + 1, end)
        # the reach into frames without a sighting gives way to another track's sightings
        for other_begin, other_stop, other in taken:
            if max(other) < min(track):
                begin = max(begin, other_stop)
            elif max(track) < min(other):
                stop = min(stop, other_begin)
            else:
                begin = stop = 0
        if begin < stop and begin <= min(track) and max(track) < stop:
            taken.append((begin, stop, track))
    out = []
    for begin, stop, track in sorted(taken, key=lambda item: item[0]):
        known, frames = sorted(track), np.arange(begin, stop)
        boxes = np.stack([track[n] for n in known])
        filled = np.stack([np.interp(frames, known, boxes[:, side]) for side in range(4)], 1)
        out.append((begin, filled.astype(np.float32)))
    return out
