"""Optical flow of a clip, for the warping error; the estimator is part of that metric's name."""

import cv2
import numpy as np

SMALLEST = 16  # pixels a side


def dis_flow(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optical flow by dense inverse search (Kroeger et al., ECCV 2016; OpenCV's medium preset) on luma.

    Args:
        frames: uint8 (T, H, W, 3), `SMALLEST` pixels a side at least.

    Returns:
        flow (T-1, H, W, 2), dx, dy in pixels from frame t to t+1, and bool (T-1, H, W): where the flow back from there
        returns to the pixel (Sundaram et al., ECCV 2010, equation 5) inside the picture.
    """
    height, width = frames.shape[1:3]
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    flows, visible = [], []
    for before, after in zip(grey[:-1], grey[1:]):
        there, back = search.calc(before, after, None), search.calc(after, before, None)
        target = places + there
        returned = cv2.remap(back, target[..., 0], target[..., 1], cv2.INTER_LINEAR)
        gap = np.square(there + returned).sum(-1)
        length = np.square(there).sum(-1) + np.square(returned).sum(-1)
        inside = ((target >= 0) & (target <= (width - 1, height - 1))).all(-1)
        flows.append(there)
        visible.append(inside & (gap < 0.01 * length + 0.5))
    return np.stack(flows), np.stack(visible)
