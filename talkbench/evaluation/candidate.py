"""Candidate: what is evaluated. A method, a baseline or anything else that makes frames."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from talkbench.data.clip import Clip

DRIVERS = ("audio", "pose", "video", "coefficients")


@dataclass(frozen=True)
class Candidate:
    """Something with a row in the table.

    Attributes:
        name: of the row.
        driven_by: what it may see of the target, of `DRIVERS`.
        generate: `f(source uint8 (H, W, 3), driving Clip) -> uint8 (T, H, W, 3)`. The clip is `allowed` by
            `driven_by`. T, H and W are those of `reference(clip)`; frame 0 is not scored.
        kind: "method", "baseline" or "external".
        provenance: config hash, checkpoint hash and whatever else decides its frames; plain values.
        audio: `f(clip) -> float32 (640 T,)`, the sound that its frames are judged with; None: the clip's own.
        metrics: the only metrics that mean something for it; None: all.
        reference: `f(clip) -> clip` whose frames its own are compared with; None: the clip itself.
        border: of close-ups, see `measure.Footage`.
    """

    name: str
    driven_by: tuple[str, ...]
    generate: Callable[[np.ndarray, Clip], np.ndarray]
    kind: str = "method"
    provenance: dict = field(default_factory=dict)
    audio: Callable[[Clip], np.ndarray] | None = None
    metrics: tuple[str, ...] | None = None
    reference: Callable[[Clip], Clip] | None = None
    border: float = 0.0

    def __post_init__(self):
        strange = [name for name in self.driven_by if name not in DRIVERS]
        if strange:
            raise ValueError(f"{self.name} is driven by {', '.join(strange)}; choose of {', '.join(DRIVERS)}")


def _held(array):
    """The first row, as often as there are rows."""
    return None if array is None else np.repeat(array[:1], len(array), 0)


def allowed(clip: Clip, driven_by: tuple[str, ...]) -> Clip:
    """The clip as a candidate may see it: what it isn't driven by is held at frame 0, sound is silent.

    "video" shows everything of the picture. "pose" shows the head's pose; methods that read the pose
    from frames get the frames too, but no expression and no labels beyond landmarks. "coefficients" shows the true
    pose and expression of the face model, which no picture has to be read for. "audio" alone shows sound and the
    first frame.
    """
    if "audio" not in driven_by:
        clip = replace(clip, audio=np.zeros_like(clip.audio))
    if "video" in driven_by:
        return clip
    hidden = set()
    if "coefficients" not in driven_by:
        hidden |= {"expression"} | (set() if "pose" in driven_by else {"pose"})
    if "pose" not in driven_by:
        hidden |= {"frames", "landmarks"}
    held = {name: _held(getattr(clip, name)) for name in hidden}
    return replace(clip, **held, labels={k: _held(v) for k, v in clip.labels.items()})
