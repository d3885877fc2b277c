"""Small videos with landmark files beside them, so that no face has to be found."""

import numpy as np

from talkbench.data.media import write_video

SIDE = 64


def face_points(count: int, side: float = 30.0, centre=(32.0, 34.0)) -> np.ndarray:
    """float32 (count, 68, 3) on an ellipse around `centre` (pixel centres at +0.5), nodding a little."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    shape = np.stack([np.cos(angle), np.sin(angle), np.zeros(68)], -1) * side / 2
    nod = np.sin(np.arange(count) / 8)[:, None, None] * np.array([0.0, 1.0, 0.0])
    return (shape + (*centre, 0) + nod).astype(np.float32)


def pictures(count: int, seed: int = 0, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Frames that all differ: stripes of a colour by seed that drift."""
    y, x = np.mgrid[:height, :width]
    t = np.arange(count)[:, None, None]
    waves = 60 * np.sin((x + 2 * t + 31 * seed) / 6) + 30 * np.sin((y - t) / 5)
    tint = np.random.default_rng(seed).uniform(70, 160, 3)
    return np.clip(waves[..., None] + tint, 0, 255).astype(np.uint8)


def speech(count: int, seed: int = 0) -> np.ndarray:
    """Something loud of 640 samples a frame."""
    return 0.2 * np.sin(np.arange(640 * count) * (0.05 + 0.01 * seed)).astype(np.float32)


def write(path, frames, audio, points=None):
    """A video, and a landmark file in the files' own convention (pixel centres are whole numbers)."""
    write_video(path, frames, audio)
    if points is not None:
        stored = points - np.array([0.5, 0.5, 0], np.float32)
        np.savez(path.with_name(path.stem + ".landmarks.npz"), landmarks=stored, source="test")


def write_face(path, seed: int = 0, count: int = 12):
    """A short good clip."""
    write(path, pictures(count, seed), speech(count, seed), face_points(count))
