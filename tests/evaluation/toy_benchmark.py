"""A tiny data set, methods and judges whose answers are known."""

from dataclasses import dataclass, field

import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME, Clip

SIZE, FRAMES = 16, 40


def make_clip(clip_id: str, identity: str, seed: int, frames: int = FRAMES) -> Clip:
    """A grey square that brightens and darkens as a mouth would; the sound is louder with it."""
    rng = np.random.default_rng(seed)
    opening = 0.5 + 0.5 * np.sin(np.arange(frames) / (2 + 0.3 * seed) + seed)
    pictures = rng.integers(60, 120, (1, SIZE, SIZE, 3)).repeat(frames, 0)
    pictures[:, 8:, 4:12] = (pictures[:, 8:, 4:12] + 100 * opening[:, None, None, None]).astype(int)
    audio = np.repeat(opening, SAMPLES_PER_FRAME).astype(np.float32)
    return Clip(clip_id, identity, pictures.astype(np.uint8), audio, labels={"phoneme": np.arange(frames)})


@dataclass
class Source:
    name: str = "toy"
    broken: set = field(default_factory=set)
    drawn: list = field(default_factory=list)
    manifest: dict = field(default_factory=lambda: {"version": 1})

    def __post_init__(self):
        self.clip_ids = [f"p{i // 2}_c{i % 2}" for i in range(6)]

    def clip(self, clip_id):
        if clip_id in self.broken:
            raise OSError(f"{clip_id}: disk on fire")
        self.drawn.append(clip_id)
        return make_clip(clip_id, clip_id.split("_")[0], self.clip_ids.index(clip_id))


class Landmarks:
    """Sees a face whose lips open with the brightness; where the picture is black, no face."""

    name, hash = "toy-landmarks", "1"

    def __init__(self):
        self.calls = 0

    def landmarks(self, frames):
        from talkbench.geometry.head import mean_face

        self.calls += 1
        points = np.repeat(mean_face()[None, :, :2] * 4 + 8, len(frames), 0)
        bright = frames[:, 8:, 4:12].mean((1, 2, 3))
        points[:, [65, 66, 67], 1] += bright[:, None] / 100
        points[frames.max((1, 2, 3)) == 0] = np.nan
        return points


class Features:
    name, hash = "toy-features", "1"

    def features(self, frames):
        return frames.reshape(len(frames), -1)[:, :64:8].astype(np.float32) / 50


class Sync:
    name, hash = "toy-sync", "1"

    def sync(self, frames, audio):
        bright = frames[:, 8:, 4:12].mean((1, 2, 3)) / 100
        loud = audio.reshape(len(frames), -1).mean(1)
        look = lambda x: np.stack([x - x.mean(), np.gradient(x)], 1)[:-5] * 5  # noqa: E731
        return look(bright), look(loud)
