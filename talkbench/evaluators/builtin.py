"""The builtin judges and teachers: small networks trained on the synthetic benchmark, shipped with talkbench."""

from functools import lru_cache
from pathlib import Path

from talkbench.evaluators import landmarks
from talkbench.weights import checkpoint
from talkbench.weights.checkpoint import SHIPPED


@lru_cache(maxsize=1)
def landmark_judge(path: Path | None = None) -> landmarks.LandmarkJudge:
    """`synth-landmarks` as shipped (or from another file that `talkbench train --judge landmarks` wrote)."""
    return landmarks.LandmarkJudge(*checkpoint.load(path or SHIPPED / "landmarks.npz", "judge", "landmarks"))


@lru_cache(maxsize=1)
def teacher():
    """The perceptual teacher of the tiny presets: the trunk of another landmark network (seed 1, never used as a judge,
    so that no method is trained against what measures it). Returns (function, variables); see `landmarks.trunk`.
    """
    tree, meta = checkpoint.load(SHIPPED / "landmarks_teacher.npz", "judge", "landmarks_teacher")
    return landmarks.trunk(meta["config"]["model"]["widths"]), tree


JUDGES = {"landmarks": landmarks.stage, "landmarks_teacher": landmarks.stage}


def stage(name: str, config):
    """The training stage of a builtin judge.

    Raises:
        ValueError: no such judge.
    """
    if name not in JUDGES:
        raise ValueError(f"no builtin judge {name!r}; there are {', '.join(JUDGES)}")
    return JUDGES[name](config)


def exported(name: str, side: dict) -> dict:
    """Of a trained judge's `{"params", "stats"}`, what its file keeps: all, or a teacher's trunk."""
    return landmarks.trunk_variables(side) if name == "landmarks_teacher" else side


def describe(path: Path) -> dict:
    """A trained judge's held-out error on the synthetic dev split (identities that nothing is trained on)."""
    from talkbench.data.synthetic.source import SyntheticSource

    if checkpoint.load(path, "judge")[1]["name"] != "landmarks":
        return {}
    return landmarks.held_out_error(landmark_judge(path), SyntheticSource("dev", landmarks.SIZE).clips())
