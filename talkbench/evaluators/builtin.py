"""The builtin judges and teachers: small networks trained on the synthetic benchmark, shipped with talkbench."""

from functools import lru_cache
from pathlib import Path

from talkbench.evaluators import identity, landmarks, synchrony
from talkbench.weights import checkpoint
from talkbench.weights.checkpoint import SHIPPED


@lru_cache(maxsize=1)
def landmark_judge(path: Path | None = None) -> landmarks.LandmarkJudge:
    """`synth-landmarks` as shipped (or from another file that `talkbench train --judge landmarks` wrote)."""
    return landmarks.LandmarkJudge(*checkpoint.load(path or SHIPPED / "landmarks.npz", "judge", "landmarks"))


@lru_cache(maxsize=1)
def sync_judge(path: Path | None = None) -> synchrony.SyncJudge:
    """`synth-sync` as shipped (or from another file that `talkbench train --judge sync` wrote)."""
    return synchrony.SyncJudge(
        *checkpoint.load(path or SHIPPED / "sync.npz", "judge", "sync"), landmark_judge()
    )


@lru_cache(maxsize=1)
def identity_judge(path: Path | None = None) -> identity.IdentityJudge:
    """`synth-identity` as shipped (or from another file that `talkbench train --judge identity` wrote)."""
    return identity.IdentityJudge(*_identity(path), landmark_judge())


@lru_cache(maxsize=1)
def feature_judge(path: Path | None = None) -> identity.FeatureJudge:
    """`synth-features`, the network of `synth-identity` over whole pictures."""
    return identity.FeatureJudge(*_identity(path))


@lru_cache(maxsize=1)
def perceptual_judge(path: Path | None = None) -> identity.PerceptualJudge:
    """`synth-lpips`, the same network's maps of two pictures compared."""
    return identity.PerceptualJudge(*_identity(path))


@lru_cache(maxsize=1)
def pose_judge() -> landmarks.PoseJudge:
    """`synth-pose`, a head fitted to the points of `synth-landmarks`."""
    return landmarks.PoseJudge(landmark_judge())


def _identity(path: Path | None):
    return checkpoint.load(path or SHIPPED / "identity.npz", "judge", "identity")


BY_NAME = {
    landmarks.NAME: landmark_judge,
    synchrony.NAME: sync_judge,
    identity.NAME: identity_judge,
    identity.FEATURES_NAME: feature_judge,
    identity.PERCEPTUAL_NAME: perceptual_judge,
    landmarks.POSE_NAME: pose_judge,
}  # as protocols name them


@lru_cache(maxsize=1)
def teacher():
    """The perceptual teacher of the tiny presets: the trunk of another landmark network (seed 1, never used as a judge,
    so that no method is trained against what measures it). Returns (function, variables); see `landmarks.trunk`.
    """
    tree, meta = checkpoint.load(SHIPPED / "landmarks_teacher.npz", "judge", "landmarks_teacher")
    return landmarks.trunk(meta["config"]["model"]["widths"]), tree


JUDGES = {
    "landmarks": landmarks.stage,
    "landmarks_teacher": landmarks.stage,
    "sync": synchrony.stage,
    "identity": identity.stage,
}


def stage(name: str, config):
    """The training stage of a builtin judge.

    Raises:
        ValueError: no such judge.
    """
    if name not in JUDGES:
        raise ValueError(f"no builtin judge {name!r}; there are {', '.join(JUDGES)}")
    return JUDGES[name](config)


def exported(name: str, side: dict) -> dict:
    """Of a trained judge's `{"params", "stats"}`, what its file keeps: all, or what is needed of it afterwards."""
    kept = {"landmarks_teacher": landmarks.trunk_variables, "identity": identity.exported}
    return kept[name](side) if name in kept else side


def describe(path: Path) -> dict:
    """A trained judge's held-out figures on speakers that nothing is trained on; its file is told them too.

    The landmark judge is measured on the synthetic dev split, that of identity on the test split, that of sync on the
    first test clip of each speaker.
    """
    from talkbench.data.synthetic.source import SyntheticSource

    def identities(clips):
        return identity.held_out(identity_judge(path), feature_judge(path), clips)

    tree, meta = checkpoint.load(path, "judge")
    measures = {
        "landmarks": ("dev", 1, lambda clips: landmarks.held_out_error(landmark_judge(path), clips)),
        "sync": ("test", 3, lambda clips: synchrony.held_out(sync_judge(path), clips)),
        "identity": ("test", 1, identities),
    }
    if meta["name"] not in measures:
        return {}
    split, every, measure = measures[meta["name"]]
    source = SyntheticSource(split, landmarks.SIZE)
    figures = measure(source.clip(clip_id) for clip_id in source.clip_ids[::every])
    checkpoint.save(path, tree, {**meta, "held_out": {"split": split, **figures}})
    return figures
