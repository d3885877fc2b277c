"""Landmarks of the face to animate."""

import numpy as np

from talkbench.evaluators import builtin


class DetectError(ValueError):
    """No face where one is needed, or no such detector; says which and the remedy."""


def landmarks(picture: np.ndarray, detector: str) -> np.ndarray:
    """68 points of the one face in a square uint8 picture (H, H, 3); float32 (68, 2), pixel centres at +0.5.

    Args:
        detector: "synthetic": the builtin judge, which knows the embedded benchmark's faces only; "fan": S3FD and
            2DFAN-4, whose weights `talkbench weights` brings.

    Raises:
        DetectError: an unknown detector, or no face found. ValueError: weights that are not at hand.
    """
    if detector == "synthetic":
        return builtin.landmark_judge().landmarks(picture[None])[0]
    if detector != "fan":
        raise DetectError(f"model.detector={detector!r}: there are synthetic and fan")
    from talkbench.evaluators import fan, s3fd
    from talkbench.weights import store

    boxes = s3fd.largest(s3fd.detect(s3fd.read_weights(store.path_of("s3fd")), picture[None]))
    if np.isnan(boxes).any():
        raise DetectError("no face found in the source picture; choose another, or crop it to the head")
    points, _ = fan.landmarks(fan.read_weights(store.path_of("fan-2d")), picture[None], boxes, subpixel=True)
    return points[0] + 0.5
