"""Augmentation as pure functions; one set of parameters serves all frames of an example."""

from dataclasses import dataclass

import cv2
import numpy as np

# For each of the 68 iBUG points the one that stands there after a mirror.
MIRROR_68 = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *range(67, 64, -1),
    ]
)
# yaw, pitch, roll, tx, ty, scale
_MIRRORED_POSE = np.array([-1, 1, -1, -1, 1, 1], np.float32)


def flip_frames(frames: np.ndarray) -> np.ndarray:
    """Mirrors left and right: (..., H, W, C)."""
    return np.ascontiguousarray(frames[..., ::-1, :])


def flip_landmarks(landmarks: np.ndarray, width: int) -> np.ndarray:
    """Mirrors (..., 68, 2 or 3) points (pixel centres at +0.5) of a picture `width` wide; sides swap."""
    mirrored = landmarks[..., MIRROR_68, :].copy()
    mirrored[..., 0] = width - mirrored[..., 0]
    return mirrored


def flip_pose(pose: np.ndarray) -> np.ndarray:
    """Mirrors (..., 6): yaw, roll and tx change sign."""
    return pose * _MIRRORED_POSE


def flip_time(array: np.ndarray) -> np.ndarray:
    """Reverses the first axis."""
    return np.ascontiguousarray(array[::-1])


@dataclass(frozen=True)
class Jitter:
    """Colour change: three factors (1: none), shift of hue in turns, and the order in which they come."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    order: tuple[int, ...] = (0, 1, 2, 3)


def draw_jitter(
    rng: np.random.Generator,
    brightness: float = 0.1,
    contrast: float = 0.1,
    saturation: float = 0.1,
    hue: float = 0.1,
) -> Jitter:
    """Factors uniform in 1 -+ the given widths, hue in -+ `hue`, in random order (face-vid2vid: 0.1 each)."""
    factors = [
        float(rng.uniform(max(0.0, 1 - width), 1 + width)) for width in (brightness, contrast, saturation)
    ]
    return Jitter(*factors, float(rng.uniform(-hue, hue)), tuple(int(n) for n in rng.permutation(4)))


def colour_jitter(frames: np.ndarray, jitter: Jitter) -> np.ndarray:
    """Applies `jitter` to uint8 (..., H, W, 3) RGB frames, rounding to 8 bit after each change.

    Contrast blends with each frame's own mean grey, as the published pipeline (PIL) does.
    """
    out = np.empty(frames.shape, np.uint8)
    flat, flat_out = frames.reshape(-1, *frames.shape[-3:]), out.reshape(-1, *frames.shape[-3:])
    for index, frame in enumerate(flat):
        for change in jitter.order:
            frame = _CHANGES[change](frame, jitter)
        flat_out[index] = frame
    return out


def _grey(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _blend(frame: np.ndarray, other: np.ndarray, factor: float) -> np.ndarray:
    return cv2.addWeighted(frame, factor, other, 1 - factor, 0)


def _table(frame: np.ndarray, factor: float, offset: float) -> np.ndarray:
    levels = np.rint(np.clip(np.arange(256) * factor + offset, 0, 255)).astype(np.uint8)
    return cv2.LUT(frame, levels)


def _brightness(frame: np.ndarray, jitter: Jitter) -> np.ndarray:
    return frame if jitter.brightness == 1 else _table(frame, jitter.brightness, 0)


def _contrast(frame: np.ndarray, jitter: Jitter) -> np.ndarray:
    if jitter.contrast == 1:
        return frame
    return _table(frame, jitter.contrast, (1 - jitter.contrast) * round(float(_grey(frame).mean())))


def _saturation(frame: np.ndarray, jitter: Jitter) -> np.ndarray:
    if jitter.saturation == 1:
        return frame
    return _blend(frame, cv2.cvtColor(_grey(frame), cv2.COLOR_GRAY2RGB), jitter.saturation)


def _hue(frame: np.ndarray, jitter: Jitter) -> np.ndarray:
    shift = int(round(jitter.hue * 256)) % 256
    if shift == 0:
        return frame
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(shift)  # wraps round the colour circle
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


_CHANGES = (_brightness, _contrast, _saturation, _hue)
