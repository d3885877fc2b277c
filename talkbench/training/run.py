"""A whole training run: every stage of a method (or a judge), then one weight file."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from talkbench import __version__, methods
from talkbench import config as configs
from talkbench.data import sources
from talkbench.evaluators import builtin
from talkbench.stage import Stage
from talkbench.training.checkpoints import ResumeError, SaveError
from talkbench.training.process import set_up
from talkbench.training.trainer import INTERRUPTED, Interrupted, TrainingError, check_settings, train_stage
from talkbench.weights import checkpoint

__all__ = ["INTERRUPTED", "Interrupted", "ResumeError", "SaveError", "TrainingError", "train"]


def train(name: str, kind: str, config, data: str, out: Path) -> Path:
    """Train `name` into the folder `out` and export its weights.

    Args:
        name: a method or a builtin judge. kind: "method" or "judge".
        config: its config.
        data: as `data.sources.open_store` takes it.

    Returns:
        `out/NAME.npz`, the weights for inference (process 0 writes it).

    Raises:
        Interrupted, TrainingError, SaveError, ResumeError: see `trainer.train_stage`.
        ValueError: no such method or judge; what `open_store` refuses.
        OSError: the weight file cannot be written.
    """
    out = Path(out)
    stages = methods.load(name).stages(config) if kind == "method" else [builtin.stage(name, config)]
    check_settings(config)
    _check_writable(out)
    set_up()
    store = sources.open_store(data, config.data.size, "train")
    variables, exported = {}, {}
    for stage, side in train_each(stages, store, config, name, out):
        variables[stage.name] = side
        if stage.exported:
            exported[stage.name] = side
    path = out / f"{name}.npz"
    if jax.process_index() == 0:
        meta = {
            "kind": kind, "name": name, "config": configs.to_plain(config), "config_hash": configs.digest(config),
            "data": {"name": store.name, "fingerprint": store.fingerprint}, "talkbench": __version__,
        }  # fmt: skip
        tree = exported if kind == "method" else builtin.exported(name, variables[stage.name])
        checkpoint.save(path, tree, meta)
    return path


def train_each(stages, store, config, name: str, out: Path, **sections) -> Iterator[tuple[Stage, dict]]:
    """Train `stages` one after the other, each into its folder under `out`; (stage, generator side) when it is done.

    Args:
        stages: as a method gives them.
        sections: {section of the config: {key: value}} that goes before the stages' own settings.
    """
    variables = {}
    for stage in stages:
        stage = stage if isinstance(stage, Stage) else stage(variables)
        own = with_settings(config, stage.settings, sections)
        variables[stage.name] = train_stage(stage, store, own, name, out / stage.name)
        yield stage, variables[stage.name]


def with_settings(config: ConfigDict, *settings: dict[str, dict]) -> ConfigDict:
    """A copy of the config in which the later `settings`, such as a stage's own, replace the earlier."""
    own = config.copy_and_resolve_references()
    for changes in settings:
        own.update(changes)
    return own


def _check_writable(out: Path) -> None:
    """That `out` can be made and written to, found out before a data set is drawn for it."""
    place = next(p for p in (out, *out.absolute().parents) if p.exists())
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise TrainingError(f"{out}: {error.strerror}; pass another --out") from error
