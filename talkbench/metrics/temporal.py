"""Change over time: difference of frame differences, flicker, warping error. Frames: uint8 (T, H, W, 3)."""

import numpy as np
from scipy import ndimage

from talkbench.metrics.image import check_pair


def _steps(frames):
    """Frame-to-frame differences in grey levels, int16, one at a time."""
    for before, after in zip(frames[:-1], frames[1:]):
        yield after.astype(np.int16) - before.astype(np.int16)


def tde(real: np.ndarray, fake: np.ndarray) -> float:
    """Temporal difference error: mean |change of fake - change of real| on [0, 1]. NaN for one frame."""
    check_pair(real, fake)
    if len(real) < 2:
        return float("nan")
    return float(np.mean([np.abs(f - r).mean() for f, r in zip(_steps(fake), _steps(real))]) / 255)


def flicker(frames: np.ndarray) -> float:
    """Mean |change| from frame to frame on [0, 1]; to be read beside the real clip's. NaN for one frame."""
    if len(frames) < 2:
        return float("nan")
    return float(np.mean([np.abs(step).mean() for step in _steps(frames)]) / 255)


def warping_error(frames: np.ndarray, flow: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Squared error between frame t and frame t+1 fetched along the flow, on [0, 1]; (T-1,).

    Args:
        flow: (T-1, H, W, 2), dx, dy in pixels from frame t to t+1, estimated on the *real* clip.
        visible: bool (T-1, H, W), pixels that count. A pair without any gives NaN.
    """
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    values = np.full(len(flow), np.nan)
    for t in range(len(flow)):
        y = np.clip(rows + flow[t, ..., 1], 0, height - 1)
        x = np.clip(columns + flow[t, ..., 0], 0, width - 1)
        after = frames[t + 1].astype(np.float64) / 255
        fetched = np.stack([ndimage.map_coordinates(after[..., c], [y, x], order=1) for c in range(3)], -1)
        error = ((fetched - frames[t].astype(np.float64) / 255) ** 2).mean(-1)
        if visible[t].any():
            values[t] = error[visible[t]].mean()
    return values
