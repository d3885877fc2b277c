"""From the two branches' displacements to a clip of landmarks: smoothing, lip gain, repair, blinks.

In the order of the published demo. Everything is numpy on (T, 204) or (T, 68, 3).
"""

from collections.abc import Sequence

import numpy as np
from scipy.signal import savgol_filter

from talkbench.geometry.topology import LID_PAIRS, MOUTH
from talkbench.methods.makeittalk.faces import mouth_areas, register, to_pixels
from talkbench.methods.makeittalk.networks import SEGMENT

SHORTEST = 10  # windows; a shorter rest of a clip is dropped
_LIP_PAIRS = np.array([(49, 59), (50, 58), (51, 57), (52, 56), (53, 55), (61, 67), (62, 66), (63, 65)])
_CLOSED = 0.99
_LID_LEAK, _LID_CLOSED = 0.95, 0.25
_BEFORE, _AFTER = 10, 15  # frames of a blink before and after its centre


def smooth(values: np.ndarray, length: int, order: int = 3) -> np.ndarray:
    """Savitzky-Golay over time of (T, ...); a clip shorter than `length` gets the longest window it allows."""
    length = min(length, len(values) - 1 + len(values) % 2)
    return savgol_filter(values, length, order, axis=0) if length > order else np.array(values)


def close_lips(displacement: np.ndarray) -> np.ndarray:
    """Take the opening of the lips out of the speaker's displacement (T, 68, 3): it is the content's to say."""
    made = displacement.copy()
    pairs = displacement[:, _LIP_PAIRS]
    made[:, _LIP_PAIRS] = _CLOSED * pairs.mean(2, keepdims=True) + (1 - _CLOSED) * pairs
    return made


def calibrate(displacement: np.ndarray, gain_x: float = 2.0, gain_y: float = 2.0) -> np.ndarray:
    """Content displacement (T, 204) less what it is at rest, and the lips' gain.

    Rest is, for each coordinate, the mean of the smaller half of its values over the segment.
    """
    half = int(len(displacement) * 0.5)
    rest = np.sort(displacement, 0)[:half].mean(0) if half else 0
    made = (displacement - rest).reshape(len(displacement), 68, 3)
    made[:, MOUTH, 0] *= gain_x
    made[:, MOUTH, 1] *= gain_y
    return made.reshape(displacement.shape)


def combine(
    speaker: np.ndarray,
    content: np.ndarray,
    gain_pose: float = 0.5,
    gain_x: float = 2.0,
    gain_y: float = 2.0,
) -> np.ndarray:
    """One segment's displacement (T, 204) of both branches' outputs (T, 204)."""
    length = int(min(len(speaker) - 1, 31) // 2 * 2 + 1)
    still = smooth(speaker, length).reshape(-1, 68, 3)
    return gain_pose * close_lips(still).reshape(speaker.shape) + calibrate(content, gain_x, gain_y)


def repair_lips(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mend frames whose inner lips are inside out; later frames lean on the repaired one before them.

    Args:
        landmarks: (T, 204) of one segment.

    Returns:
        The same, repaired, and which frames were touched, bool (T,).
    """
    made = np.array(landmarks).reshape(-1, 68, 3)
    wrong = mouth_areas(made).sum(-1) < 0
    inner, outer = [64, 65, 66, 67], [55, 56, 57, 58]
    upper_inner, upper_outer = [60, 61, 62, 63, 64], [49, 50, 51, 52, 53]
    for j in np.flatnonzero(wrong):
        frame, last = made[j], made[max(j - 1, 0)]
        for upper, lower in ((63, 65), (62, 66), (61, 67)):
            frame[lower] = 0.5 * (frame[upper] + frame[lower])
            frame[upper] = frame[lower]
        frame[outer, 1] = frame[inner, 1] + last[outer, 1] - last[inner, 1]
        frame[59, 1] = frame[60, 1] + last[59, 1] - last[60, 1]
        frame[upper_outer, 1] = frame[upper_inner, 1] + last[upper_outer, 1] - last[upper_inner, 1]
    return made.reshape(np.shape(landmarks)), wrong


def segments(count: int) -> list[slice]:
    """Cuts of a clip of `count` windows for self-attention; a rest under 10 is dropped, unless it is all."""
    cuts = [slice(start, min(start + SEGMENT, count)) for start in range(0, count, SEGMENT)]
    return [cut for cut in cuts if cut.stop - cut.start >= SHORTEST] or cuts[:1]


def settle(displacement: np.ndarray, length: int = 30) -> np.ndarray:
    """A segment's displacement (N, ...) that starts at 0: what it starts with fades out of it over `length` frames.

    So a segment that goes on from the last one's end does not jump; ours.
    """
    left = np.clip(1 - np.arange(len(displacement)) / length, 0, 1)
    return displacement - left.reshape(-1, *[1] * (displacement.ndim - 1)) * displacement[:1]


def rigid(displacement: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The displacement (N, 68, 3) of `face` (68, 3) that turns and moves it whole, as the one given moves its T shape; ours."""
    matrix, _ = register(face + displacement, face)
    return (face - matrix[:, None, :3, 3]) @ matrix[:, :3, :3] - face


def head_motion(displacement: np.ndarray, window: int) -> np.ndarray:
    """The speaker's displacement (T, 68, 3) of a whole clip, smoothed over `window` frames, its lips closed, 0 in frame 0.

    Smoothing fits its ends too, so it leaves the settled first frame elsewhere: that is taken off last.
    """
    return settle(close_lips(smooth(displacement, window)))


def assemble(
    speaker: Sequence[np.ndarray], content: Sequence[np.ndarray], face: np.ndarray, **gains: float
) -> np.ndarray:
    """A clip of landmarks of its segments' displacements.

    Args:
        speaker, content: outputs of both branches, one (N, 204) a segment.
        face: (204,) at rest.
        gains: of `combine`.

    Returns:
        float64 (T, 68, 3) in the network's units, rounded to 6 decimals as the published files are.
    """
    parts = [
        repair_lips((face + combine(s, c, **gains)).astype(np.float32))[0]
        for s, c in zip(speaker, content, strict=True)
    ]
    made = np.concatenate(parts).astype(np.float64).reshape(-1, 68, 3)
    made[:, 27] = 2 * made[:, 28] - made[:, 29]
    return np.round(smooth(made, 5), 6)


def blink_centres(frames: int, random: np.random.RandomState) -> list[int]:
    """Frames at which the eyes are most closed, a second or two apart; none where a clip is too short for one.

    The published code asks for the first blink in any case and fails on clips of 45 frames or fewer.
    """
    last = frames - 1 - _AFTER
    centres, centre = [], 30
    while centre < last or (centre == 30 and centre + _AFTER < frames):
        centres.append(centre)
        centre += 60 + int(random.randint(30, 90))
    return centres


def blink(landmarks: np.ndarray, centres: Sequence[int]) -> np.ndarray:
    """Lids of (T, 68, 3) a little nearer to each other throughout, and closed and opened around `centres`."""
    made = np.array(landmarks, np.float64)
    upper, lower = LID_PAIRS.T
    u, l = made[:, upper], made[:, lower]
    u, l = _LID_LEAK * u + (1 - _LID_LEAK) * l, (1 - _LID_LEAK) * u + _LID_LEAK * l
    for t in centres:
        closed = _LID_CLOSED * u[t] + (1 - _LID_CLOSED) * l[t]
        u[t] = l[t] = closed
        for lids in (u, l):
            start, stop = t - _BEFORE, t + _AFTER
            for j in range(start + 1, t):
                r = (t - j) / _BEFORE
                lids[j] = r * lids[start] + (1 - r) * lids[t]
            for j in range(t + 1, stop):
                r = (stop - 1 - j) / _AFTER
                lids[j] = r * lids[t] + (1 - r) * lids[stop]
    made[:, upper], made[:, lower] = u, l
    return made


def to_image(landmarks: np.ndarray, scale: float, shift: np.ndarray, centres: Sequence[int]) -> np.ndarray:
    """A clip (T, 68, 3) in the network's units -> pixels, with blinks, smoothed; the lips less than the rest."""
    made = blink(to_pixels(landmarks, scale, shift), centres)
    made[:, :48] = smooth(made[:, :48], 15)
    made[:, 48:] = smooth(made[:, 48:], 5)
    return made


def to_cartoon(landmarks: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
    """The same for drawings: no blink, other windows."""
    made = to_pixels(landmarks, scale, shift)
    made[:, :48] = smooth(made[:, :48], 17)
    made[:, 48:] = smooth(made[:, 48:], 11)
    return made
