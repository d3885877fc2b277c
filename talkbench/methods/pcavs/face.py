"""Is there a face in the reference? PC-AVS needs no landmarks, so nothing else would notice."""

import numpy as np

from talkbench.data.augment import flip_frames, flip_landmarks
from talkbench.evaluators import builtin

# Of the eye distance. Real portraits, paintings and cartoons: up to .09; noise, gradients, coloured spots: .32 and more.
MOST = 0.2


class FaceError(ValueError):
    """A reference without a face."""


def asymmetry(picture: np.ndarray) -> float:
    """How little the builtin landmark judge finds the same face in a picture uint8 (H, H, 3) and in its mirror image.

    Mean distance of the points in eye distances. The judge always finds a face; where there is none it guesses, and not
    the same in both.
    """
    points, mirrored = builtin.landmark_judge().landmarks(np.stack([picture, flip_frames(picture)]))
    eyes = np.linalg.norm(points[36] - points[45])
    return float(np.linalg.norm(points - flip_landmarks(mirrored, picture.shape[1]), axis=1).mean() / eyes)


def check(picture: np.ndarray) -> None:
    """Nothing, if there is a face in the reference.

    Raises:
        FaceError: there seems to be none.
    """
    if not asymmetry(picture) <= MOST:
        raise FaceError("no face found in the source picture; choose another, or crop it to the head")
