"""Clip: what data sources give and metrics compare."""

from dataclasses import dataclass, field

import numpy as np

FPS = 25
SAMPLE_RATE = 16_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


class ClipError(ValueError):
    """A clip that cannot be used; the message names the file and the remedy."""


@dataclass
class Clip:
    """One talking face.

    Attributes:
        clip_id: unique name within its data set.
        identity: name of the speaker.
        frames: uint8 (T, H, W, 3), RGB at 25 frames/s.
        audio: float32 (640 T,), mono 16 kHz in [-1, 1]; exactly 640 samples a frame; zeros where there is none.
        landmarks: float32 (T, 68, 3), iBUG order; x right and y down in pixels (pixel centres at +0.5), z towards
            the viewer in pixels; or None.
        landmark_source: name of what made the landmarks ("synthetic", "file:NAME", a judge's name), or None.
        pose: float32 (T, 6): yaw, pitch, roll in degrees, tx, ty in pixels, scale; or None.
        shape: float32 (60,), mesh shape coefficients, or None.
        expression: float32 (T, 33), mesh expression weights (order of `geometry.head.EXPRESSION_NAMES`), or None.
        split: name of the split it belongs to.
        labels: any further exact labels by name, each with leading axis T (the synthetic set: blink (T, 2), gaze (T, 2),
            visible (T, 68) bool, phoneme (T,) int8, stress (T,), f0 (T,) Hz).
    """

    clip_id: str
    identity: str
    frames: np.ndarray
    audio: np.ndarray
    landmarks: np.ndarray | None = None
    landmark_source: str | None = None
    pose: np.ndarray | None = None
    shape: np.ndarray | None = None
    expression: np.ndarray | None = None
    split: str = ""
    labels: dict = field(default_factory=dict)

    def __post_init__(self):
        frames, count = self.frames, len(self.frames)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or count == 0:
            raise ClipError(
                f"{self.clip_id}: frames must be uint8 (T, H, W, 3) with T > 0, not {frames.dtype} {frames.shape}"
            )
        if self.audio.shape != (count * SAMPLES_PER_FRAME,):
            raise ClipError(
                f"{self.clip_id}: {self.audio.shape} audio samples for {count} frames, expected {640 * count}"
            )
        if self.landmarks is not None and self.landmarks.shape != (count, 68, 3):
            raise ClipError(f"{self.clip_id}: landmarks {self.landmarks.shape}, expected ({count}, 68, 3)")

    @property
    def num_frames(self) -> int:
        return len(self.frames)
