"""The 68 facial landmarks in iBUG 300-W order: groups, mirror, pairs.

"Right" and "left" are the subject's, so the right eye (36..41) is on picture left. Indices count from 0.
"""

import numpy as np

NUM_LANDMARKS = 68

JAW = np.arange(0, 17)
RIGHT_BROW = np.arange(17, 22)
LEFT_BROW = np.arange(22, 27)
BROWS = np.arange(17, 27)
NOSE_BRIDGE = np.arange(27, 31)
NOSE_BASE = np.arange(31, 36)
NOSE = np.arange(27, 36)
RIGHT_EYE = np.arange(36, 42)
LEFT_EYE = np.arange(42, 48)
EYES = np.arange(36, 48)
OUTER_MOUTH = np.arange(48, 60)
INNER_MOUTH = np.arange(60, 68)
MOUTH = np.arange(48, 68)

RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER = 36, 39, 42, 45
OUTER_EYE_CORNERS = (36, 45)
NOSE_TIP, CHIN = 30, 8
MOUTH_CORNERS = (48, 54)

# upper and lower inner lip facing each other: right, middle, left
INNER_LIP_PAIRS = np.array([[61, 67], [62, 66], [63, 65]])
# upper and lower lid facing each other: two pairs of the right eye, then of the left
LID_PAIRS = np.array([[37, 41], [38, 40], [43, 47], [44, 46]])
# nose bridge, nose base centre, eye corners: points that speech does not move (MakeItTalk's "T shape")
T_SHAPE = np.array([27, 28, 29, 30, 33, 36, 39, 42, 45])

GROUPS = {
    "jaw": JAW,
    "right_brow": RIGHT_BROW,
    "left_brow": LEFT_BROW,
    "nose_bridge": NOSE_BRIDGE,
    "nose_base": NOSE_BASE,
    "right_eye": RIGHT_EYE,
    "left_eye": LEFT_EYE,
    "outer_mouth": OUTER_MOUTH,
    "inner_mouth": INNER_MOUTH,
}

# lines that draw a face: (name of the group, closed)
CONTOURS = tuple((name, name in ("right_eye", "left_eye", "outer_mouth", "inner_mouth")) for name in GROUPS)

MIRROR = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # bridge
        *range(35, 30, -1),  # nose base
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ]
)


def eye_distance(landmarks: np.ndarray) -> np.ndarray:
    """Distance of the outer eye corners: (..., 68, 2 or 3) -> (...), unit of the landmarks."""
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(landmarks[..., left, :] - landmarks[..., right, :], axis=-1)


def lip_gap(landmarks: np.ndarray) -> np.ndarray:
    """Opening of the mouth: mean distance of the three facing inner-lip pairs, (..., 68, D) -> (...)."""
    upper, lower = landmarks[..., INNER_LIP_PAIRS[:, 0], :], landmarks[..., INNER_LIP_PAIRS[:, 1], :]
    return np.linalg.norm(upper - lower, axis=-1).mean(-1)


def mirrored(landmarks: np.ndarray, width: float) -> np.ndarray:
    """Landmarks of the picture flipped left to right: (..., 68, D), width in pixels (centres at +.5)."""
    out = np.array(landmarks[..., MIRROR, :])
    out[..., 0] = width - out[..., 0]
    return out
