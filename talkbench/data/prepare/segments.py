"""Which stretches of a shot become clips, and the square that is cut out: the union-box recipe of the VoxCeleb crops.

Source: crop_vox of AliaksandrSiarohin/video-preprocessing, with a reason for each stretch that is dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from talkbench.data.prepare.faces import overlap


class Dropped(ValueError):
    """A stretch (or a whole file) that is refused.

    Attributes:
        reason: one of `checks.REASONS`. detail: what was found.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self):
        return type(self), (self.reason, self.detail)


@dataclass
class Segment:
    """Frames first <= n < end of the source at 25 frames/s and the box (left, top, right, bottom) of whole pixels."""

    clip_id: str
    first: int
    end: int
    box: tuple[int, int, int, int]
    tag: str
    face_side: float | None = None  # mean longer side of the face box in source pixels
    flags: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        return self.end - self.first


def chunks(boxes: np.ndarray, least_overlap: float, longest: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Stretches (first, end, union box) of a track of boxes (T, 4).

    A stretch ends where the box's overlap with the stretch's first box falls below `least_overlap`, or at `longest` frames.
    """
    first, union = 0, boxes[0]
    for n in range(1, len(boxes)):
        if overlap(boxes[first], boxes[n]) < least_overlap or n - first >= longest:
            yield first, n, union
            first, union = n, boxes[n]
        else:
            union = np.concatenate([np.minimum(union[:2], boxes[n, :2]), np.maximum(union[2:], boxes[n, 2:])])
    yield first, len(boxes), union


def enlarged(box: np.ndarray, increase: float) -> tuple[int, int, int, int]:
    """The square (up to a pixel) of side (1 + 2 increase) max(w, h) around a box; edges truncated towards zero."""
    left, top, right, bottom = (float(v) for v in box)
    width, height = right - left, bottom - top
    dw = max(increase, ((1 + 2 * increase) * height - width) / (2 * width))
    dh = max(increase, ((1 + 2 * increase) * width - height) / (2 * height))
    edges = left - dw * width, top - dh * height, right + dw * width, bottom + dh * height
    return tuple(int(edge) for edge in edges)


def inside(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The box; Dropped("out_of_frame") if any of it lies outside the picture."""
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > width or bottom > height or right - left < 2 or bottom - top < 2:
        raise Dropped("out_of_frame", f"box {left},{top},{right},{bottom} in a picture of {width}x{height}")
    return box
