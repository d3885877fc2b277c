"""Audio-visual synchrony from features: LSE-D, LSE-C, offset (Chung, Zisserman 2016; Prajwal et al. 2020)."""

from dataclasses import dataclass

import numpy as np
from scipy import signal

EPSILON = 1e-6  # added to each difference, as torch's pairwise_distance does
SMALLEST_WINDOWS = 25  # one second; below it the zero padding decides
VSHIFT = 15


@dataclass(frozen=True)
class Sync:
    """What `search` finds.

    Attributes:
        mean_distance: (2 vshift + 1,), mean distance at each shift of the audio, from -vshift to vshift.
        offset: frames; positive where the audio leads: the best audio window of window i is i - offset.
        lse_d: smallest mean distance. lse_c: median minus smallest mean distance.
        frame_confidence: (W,), median minus the distance at the best shift, median filtered over 9 windows.
    """

    mean_distance: np.ndarray
    offset: int
    lse_d: float
    lse_c: float
    frame_confidence: np.ndarray


def search(video: np.ndarray, audio: np.ndarray, vshift: int = VSHIFT) -> Sync:
    """Try every shift of the audio against the video features.

    Args:
        video, audio: (W, d), window i of both starting at frame i. Audio is padded with zero vectors.

    Raises:
        ValueError: unequal shapes or no window.
    """
    video, audio = np.asarray(video, np.float64), np.asarray(audio, np.float64)
    if video.shape != audio.shape or video.ndim != 2 or len(video) == 0:
        raise ValueError(
            f"video features {video.shape} and audio features {audio.shape} must be one shape (W, d)"
        )
    windows = len(video)
    padded = np.pad(audio, ((vshift, vshift), (0, 0)))
    shifts = range(2 * vshift + 1)
    distance = np.stack(
        [np.linalg.norm(video - padded[s : s + windows] + EPSILON, axis=1) for s in shifts], 1
    )
    mean = distance.mean(0)
    best = int(mean.argmin())
    per_frame = np.median(mean) - distance[:, best]
    return Sync(
        mean_distance=mean,
        offset=vshift - best,
        lse_d=float(mean[best]),
        lse_c=float(np.median(mean) - mean[best]),
        frame_confidence=signal.medfilt(per_frame, 9) if windows >= 9 else per_frame,
    )
