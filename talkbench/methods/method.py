"""Method: what evaluation, animation and training need of a talking-face method."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Driving:
    """What drives a generated clip; a method uses only what its `driven_by` names.

    Attributes:
        frames: uint8 (T, H, W, 3) RGB at 25 frames/s, or None.
        audio: float32 (640 T,), 16 kHz mono, or None.
        pose: float32 (T, 6) as in `Clip.pose`, or None.
        shape, expression: float32 (60,) and (T, 33), mesh coefficients as in `Clip`, or None.
    """

    frames: np.ndarray | None = None
    audio: np.ndarray | None = None
    pose: np.ndarray | None = None
    shape: np.ndarray | None = None
    expression: np.ndarray | None = None

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.frames) if self.frames is not None else len(self.audio) // 640


@dataclass(frozen=True)
class Row:
    """A line of its own in the tables: a method run in one of its ways.

    Attributes:
        name: of the line.
        options: of `generate`.
        driven_by: None: as the method says.
        reference: `reference(config, variables) -> f(clip) -> clip`: what its frames are compared with, where they show
            something else than the clip's whole picture; None: the clip.
        border: where its frames are nearer than whole pictures, the share of their side by which they are widened for judges
            that know whole pictures only; the outermost pixels are repeated.
    """

    name: str
    options: dict = field(default_factory=dict)
    driven_by: tuple[str, ...] | None = None
    reference: Callable | None = None
    border: float = 0.0


@dataclass(frozen=True)
class Method:
    """A talking-face method.

    Attributes:
        name: as on the command line and in tables.
        title: the paper's name for it.
        paper: authors, venue, year, identifier.
        driven_by: subset of ("audio", "pose", "video", "coefficients"): what it may see of the target.
        stages: `stages(config) -> list` in training order, of `Stage`s, or of `f(trained) -> Stage` where a stage starts from
            earlier ones; `trained` is {stage name: generator side}.
        generator: `generator(config, variables) -> generate`, where `variables` is {stage name: generator side} and
            `generate(source uint8 (H, W, 3), driving: Driving, **options) -> uint8 (T, H, W, 3)`.
        options: {name: (default, help)} of `generate`'s options; the command line makes flags of them.
        rows: its lines in the tables; none: one of the method's name with all options as they are.
        published: `published(config, contents) -> variables` of `generator`, from checkpoints that the authors (or a known
            reimplementation) published: {file name: what `weights.readers.read` found, or the numbers of a text file}. What
            they tell beyond weights is set in `config`. None: there are none.
    """

    name: str
    title: str
    paper: str
    driven_by: tuple[str, ...]
    stages: Callable
    generator: Callable
    options: dict[str, tuple]
    rows: tuple[Row, ...] = ()
    published: Callable | None = None
