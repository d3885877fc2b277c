"""Checkpoints of a run: Orbax, asynchronous and sharded, with the loader's position and what the run was made with."""

import logging
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh

from talkbench.data.loader import LoaderError
from talkbench.training import mesh as meshes

# What may change between two sittings of one run, of a stage's own settings too, without making it another run.
FREE = (
    "train.steps",
    "train.checkpoint_every",
    "train.log_every",
    "train.sample_every",
    "train.keep",
    "data.workers",
    "data.in_memory",
)


# Orbax's threads log a failed save with a traceback each; SaveError says it in one line.
logging.getLogger("absl").addFilter(
    lambda record: record.levelno < logging.ERROR or "orbax" not in Path(record.pathname).parts
)


class ResumeError(ValueError):
    """A run folder that cannot be continued with these settings, or is damaged."""


class SaveError(RuntimeError):
    """A checkpoint that could not be written."""


class Checkpoints:
    """The checkpoints in one folder; use as a context manager, so that the last asynchronous save is finished.

    Args:
        folder: where they lie.
        keep: how many of the newest are kept.
    """

    def __init__(self, folder: Path, keep: int):
        self._folder = Path(folder).resolve()
        if jax.process_index() == 0 and self._folder.is_dir():
            # Left by a killed save; Orbax lets them lie.
            for partial in self._folder.glob("*.orbax-checkpoint-tmp*"):
                shutil.rmtree(partial, ignore_errors=True)
        self._manager = ocp.CheckpointManager(
            self._folder, options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._writing():
            self._manager.close()  # waits for the last save

    @contextmanager
    def _writing(self):
        try:
            yield
        except Exception as error:  # of many kinds: Orbax, TensorStore and the file system have their own
            reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
            raise SaveError(
                f"{self._folder}: a checkpoint could not be written ({reason}); free some space and rerun, the last "
                "whole one is kept"
            ) from error

    def latest(self) -> int | None:
        """Step of the newest whole checkpoint."""
        return self._manager.latest_step()

    def preempted(self, step: int) -> bool:
        """Whether the cluster announced the end of this job (known with `jax.distributed` only)."""
        return self._manager.reached_preemption(step)

    def save(self, step: int, state: dict, batches: Any, meta: dict) -> None:
        """Begin to save; returns before the files are written.

        Raises:
            SaveError: this save cannot begin, or the one before failed.
        """
        if step == self.latest():
            return
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    data=grain.checkpoint.CheckpointSave(batches),
                    meta=ocp.args.JsonSave(meta),
                ),
                force=True,
            )

    def restore(self, step: int, abstract: dict, batches: Any, mesh: Mesh, meta: dict) -> dict:
        """The state at `step`, laid out over `mesh`; sets `batches` to where it stood.

        Args:
            abstract: the state's shapes (from `jax.eval_shape`).
            meta: what this run would write; another method, stage, data set or config is refused by name.

        Raises:
            ResumeError: another config, method, stage or data, or a damaged checkpoint.
        """
        try:
            return self._restore(step, abstract, batches, mesh, meta)
        except ResumeError:
            raise
        except LoaderError as error:
            raise ResumeError(f"the run was made with other data: {error}; pass another --out") from error
        except Exception as error:  # of many kinds, see `_writing`
            raise ResumeError(
                f"{self._folder / str(step)}: damaged, or of another version of the networks; remove it to go on from "
                "the checkpoint before, or pass another --out"
            ) from error

    def _restore(self, step, abstract, batches, mesh, meta):
        saved = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]
        for key in ("method", "stage", "dataset"):
            if saved[key] != meta[key]:
                raise ResumeError(
                    f"the run was made with {key} {saved[key]!r}, not {meta[key]!r}; pass another --out"
                )
        differing = _differences(saved["config"], meta["config"])
        if differing:
            raise ResumeError(
                f"the run was made with another {', '.join(differing[:4])}; pass another --out to start anew"
            )
        target = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=meshes.replicated(mesh)), abstract
        )
        return self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(target), data=grain.checkpoint.CheckpointRestore(batches)
            ),
        )["state"]


def _differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    found = []
    for key in sorted(old.keys() | new.keys()):
        name = f"{prefix}{key}"
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, name + ".")
        elif a != b and re.sub(r"^stages\.\w+\.", "", name) not in FREE:
            found.append(f"{name} ({a}, now {b})")
    return found
