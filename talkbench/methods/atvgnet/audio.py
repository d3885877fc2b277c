"""ATVGnet's audio: windows of 28 MFCC frames (0.28 s) with 12 coefficients, one window a video frame. numpy only."""

import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.mfcc import HOP, mfcc

# MFCC frames in a video frame; video frames of a window before and after its own.
RATE = SAMPLES_PER_FRAME // HOP
BEFORE, AFTER = 3, 3
# What the published demo puts before and after the sound: the frames that a window reaches over.
PADDING = BEFORE * SAMPLES_PER_FRAME


def features(samples: np.ndarray) -> np.ndarray:
    """MFCC of a float waveform in [-1, 1], float64 (n, 13), at the scale that the published front end sees."""
    return mfcc(np.asarray(samples, np.float64), full_scale=1.0)


def windows(cepstra: np.ndarray, frames) -> np.ndarray:
    """Windows of the video frames numbered `frames`: mfcc[4 (i - 3) : 4 (i + 4), 1:], float32 (n, 28, 12).

    Raises:
        ValueError: a window reaches outside `cepstra`.
    """
    frames = np.asarray(frames)
    starts = RATE * (frames - BEFORE)
    length = RATE * (BEFORE + 1 + AFTER)
    if len(frames) and (starts.min() < 0 or starts.max() + length > len(cepstra)):
        raise ValueError(
            f"audio windows of frames {frames.min()}..{frames.max()} reach outside {len(cepstra)} MFCC frames"
        )
    return cepstra[starts[:, None] + np.arange(length)][..., 1:].astype(np.float32)


def demo_windows(samples: np.ndarray) -> np.ndarray:
    """What the published demo feeds its network: zeros around the sound, then every whole window.

    (F, 28, 12); F is one less than the number of video frames.
    """
    cepstra = features(np.pad(samples, PADDING))
    return windows(cepstra, np.arange(BEFORE, len(cepstra) // RATE - AFTER))


def clip_windows(samples: np.ndarray, num_frames: int) -> np.ndarray:
    """A window for every video frame: as `demo_windows`, with enough silence after the sound for the last one too."""
    wanted = num_frames * SAMPLES_PER_FRAME
    samples = np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))
    cepstra = features(np.pad(samples, (PADDING, PADDING + SAMPLES_PER_FRAME)))
    return windows(cepstra, np.arange(BEFORE, BEFORE + num_frames))
