"""A benchmark from its name to its table: source, judges, candidates, runner, table."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from talkbench import config as configs
from talkbench import methods
from talkbench.data import sources
from talkbench.data.clip import Clip
from talkbench.data.synthetic.source import SyntheticSource
from talkbench.evaluation import runner
from talkbench.evaluation.baselines import baselines
from talkbench.evaluation.candidate import Candidate
from talkbench.evaluation.judges import load as load_judge
from talkbench.evaluation.protocol import Protocol
from talkbench.evaluators import builtin
from talkbench.methods.method import Driving, Row
from talkbench.weights import checkpoint


def shipped(name: str) -> Path:
    """The weight file of a method that travels with talkbench."""
    return checkpoint.SHIPPED / f"{name}.npz"


def ready(names: Sequence[str]) -> list[str]:
    """Of these methods, those whose weights travel with talkbench. Says on stderr which ones it leaves out."""
    left_out = [name for name in names if not shipped(name).exists()]
    if left_out:
        print(
            f"left out, since no trained weights ship with talkbench: {', '.join(left_out)} "
            "(talkbench train --method NAME, then eval --method NAME --checkpoint FILE)",
            file=sys.stderr,
        )
    return [name for name in names if name not in left_out]


def rows_of(name: str, path: Path | None = None, size: int | None = None) -> list[Candidate]:
    """The rows of a method with weights.

    Args:
        name: of the method. path: its weight file (default: the shipped one).
        size: side of the benchmark's frames, where it may differ from the side that the weights work at: frames
            are then resized to the weights' side and what is generated back, and the row says so.

    Raises:
        CheckpointError: no such file, damaged, or of another method.
    """
    method = methods.load(name)
    tree, meta = checkpoint.load(path or shipped(name), "method", name)
    config = configs.of_weights(meta)
    generate = method.generator(config, tree)
    own = meta["config"]["data"]["size"]
    other = size is not None and size != own

    def row(about: Row) -> Candidate:
        def animate(source, clip: Clip):
            given = {name: getattr(clip, name) for name in ("frames", "audio", "pose", "shape", "expression")}
            return generate(source, Driving(**given), **about.options)

        reference = about.reference and about.reference(config, tree)
        if other:
            animate = at_size(animate, own, size, back=reference is None)
            reference = reference and (lambda clip, cut=reference: cut(resized(clip, own)))
        return Candidate(
            about.name,
            method.driven_by if about.driven_by is None else about.driven_by,
            animate,
            reference=reference,
            border=about.border,
            provenance={
                **({"generated_at": own} if other else {}),
                **({"options": about.options} if about.options else {}),
                **({"compared_with": "its own cut of the clip"} if reference else {}),
                **({"border": about.border} if about.border else {}),
                "checkpoint": meta["digest"], "config": meta["config_hash"], "preset": meta["config"]["preset"],
                "seed": meta["config"]["seed"], "trained_on": meta["data"], "shipped": path is None,
            },
        )  # fmt: skip

    return [row(about) for about in method.rows or (Row(name),)]


def _resize(frame: np.ndarray, size: int) -> np.ndarray:
    way = cv2.INTER_AREA if size < len(frame) else cv2.INTER_CUBIC
    return cv2.resize(frame, (size, size), interpolation=way)


def resized(clip: Clip, size: int) -> Clip:
    """The clip at `size` pixels a side, its pose and landmarks with it."""
    factor = np.float32(size / clip.frames.shape[1])
    return replace(
        clip,
        frames=np.stack([_resize(frame, size) for frame in clip.frames]),
        pose=None if clip.pose is None else clip.pose * np.array([1, 1, 1, *[factor] * 3], np.float32),
        landmarks=None if clip.landmarks is None else clip.landmarks * factor,
    )


def at_size(generate, own: int, size: int, back: bool = True):
    """`generate(source, clip)` of weights that work at `own` pixels, for frames of `size`; `back`: resized back to them."""

    def animate(source: np.ndarray, clip: Clip) -> np.ndarray:
        made = generate(_resize(source, own), resized(clip, own))
        return np.stack([_resize(frame, size) for frame in made]) if back else made

    return animate


def judges(named: dict[str, str], weights: Path | None = None) -> dict:
    """{kind: judge} of {kind: name}, a `MissingJudge` where its weights are not at hand (`weights`: their folder)."""
    known = builtin.BY_NAME
    return {k: known[n]() if n in known else load_judge(n, k, weights) for k, n in named.items()}


def source(protocol: Protocol, data: str | None = None):
    """The protocol's clips.

    Args:
        data: another set, as `--data` takes it (`folder=DIR`); default the protocol's own.
    """
    if data is None and protocol.dataset != "synthetic":
        raise ValueError(
            f"benchmark {protocol.name} brings no clips: pass --data {protocol.dataset}=DIR, or --data folder=DIR"
        )
    if data is None:
        return SyntheticSource(protocol.split, protocol.size)
    return sources.open_store(data, protocol.size, protocol.split)


def evaluate(
    protocol: Protocol,
    names: Sequence[str],
    results: Path,
    *,
    checkpoints: dict[str, Path] | None = None,
    data: str | None = None,
    weights: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> runner.Report:
    """Run methods and baselines on a protocol; result files go to `results`.

    Args:
        names: methods. checkpoints: {method: weight file}, where not the shipped one.
        data: see `source`. weights: folder of the published judges' weights.
    """
    clips = source(protocol, data)
    candidates = [
        *baselines(clips, protocol.metrics),
        *(row for n in names for row in rows_of(n, (checkpoints or {}).get(n), protocol.size)),
    ]
    looking = judges(protocol.judges, weights)
    return runner.run(protocol, clips, candidates, looking, results, progress=progress)


def on_other_clips(data: str, checkpoint_path: Path | None, name: str) -> Protocol:
    """A protocol for clips of one's own: pictures against pictures, at the size that the weights work at.

    Landmark metrics need a judge that knows real faces; the builtin one does not, so they are not among the metrics.
    """
    _, meta = checkpoint.load(checkpoint_path or shipped(name), "method", name)
    size = meta["config"]["data"]["size"]
    kind, folder = sources.parse(data)
    label = folder.resolve().name if folder else kind
    return Protocol(
        name=f"{label}-{size}",
        version=1,
        title=f"{label}, {size} px",
        dataset=kind,
        split="test" if folder and sources.held_out(data, "test") else "all",
        size=size,
        metrics=("l1", "psnr", "ssim", *(("ms_ssim",) if size > 160 else ())),
    )
