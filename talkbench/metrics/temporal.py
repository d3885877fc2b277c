"""Change over time: difference of frame differences, flicker, warping error. Frames: uint8 (T, H, W, 3)."""

import numpy as np

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


def flicker_error(real: np.ndarray, fake: np.ndarray) -> float:
    """|flicker of fake - flicker of real|, on [0, 1]: too restless and too still are both wrong. NaN for one frame."""
    check_pair(real, fake)
    return abs(flicker(fake) - flicker(real))


def _fetched(frame: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) at x, y (H, W) inside it, bilinear."""
    left, top = (
        np.minimum(np.floor(v).astype(int), n - 2) for v, n in ((x, frame.shape[1]), (y, frame.shape[0]))
    )
    right, down = (x - left)[..., None], (y - top)[..., None]
    flat, first = frame.reshape(-1, frame.shape[-1]), top * frame.shape[1] + left
    above = flat[first] * (1 - right) + flat[first + 1] * right
    first = first + frame.shape[1]
    return above * (1 - down) + (flat[first] * (1 - right) + flat[first + 1] * right) * down


def warping_error(frames: np.ndarray, flow: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Squared error between frame t and frame t+1 fetched along the flow, on [0, 1]; (T-1,).

    Args:
        flow: (T-1, H, W, 2), dx, dy in pixels from frame t to t+1, estimated on the *real* clip.
        visible: bool (T-1, H, W), pixels that count. A pair without any gives NaN.

    The real clip has an error of its own, and a blurred one a smaller one: read it beside theirs.
    """
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    values = np.full(len(flow), np.nan)
    for t in range(len(flow)):
        y = np.clip(rows + flow[t, ..., 1], 0, height - 1)
        x = np.clip(columns + flow[t, ..., 0], 0, width - 1)
        fetched = _fetched(frames[t + 1].astype(np.float64), x, y)
        error = ((fetched - frames[t]) ** 2).mean(-1) / 255**2
        if visible[t].any():
            values[t] = error[visible[t]].mean()
    return values
