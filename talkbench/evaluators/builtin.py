"""The builtin judges and teachers: small networks trained on the synthetic benchmark, shipped with talkbench."""

from functools import lru_cache
from pathlib import Path

from talkbench.evaluators import landmarks
from talkbench.resources import PACKAGE
from talkbench.weights import checkpoint

FOLDER = PACKAGE / "evaluators" / "shipped"


@lru_cache(maxsize=1)
def landmark_judge(path: Path | None = None) -> landmarks.LandmarkJudge:
    """`synth-landmarks` as shipped (or from another file that `talkbench train --judge landmarks` wrote)."""
    return landmarks.LandmarkJudge(*checkpoint.load(path or FOLDER / "landmarks.npz", "judge", "landmarks"))


@lru_cache(maxsize=1)
def teacher():
    """The perceptual teacher of the tiny presets: the trunk of another landmark network (seed 1, never used as a judge,
    so that no method is trained against what measures it). Returns (function, variables); see `landmarks.trunk`.
    """
    tree, meta = checkpoint.load(FOLDER / "landmarks_teacher.npz", "judge", "landmarks_teacher")
    return landmarks.trunk(meta["config"]["model"]["widths"]), tree
