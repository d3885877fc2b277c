"""A benchmark from its name to its table: source, judges, candidates, runner, table."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from talkbench import methods
from talkbench.data import sources
from talkbench.data.clip import Clip
from talkbench.data.synthetic.source import SyntheticSource
from talkbench.evaluation import runner
from talkbench.evaluation.baselines import baselines
from talkbench.evaluation.candidate import Candidate
from talkbench.evaluation.protocol import Protocol
from talkbench.evaluators import builtin
from talkbench.methods.method import Driving
from talkbench.weights import checkpoint


def shipped(name: str) -> Path:
    """The weight file of a method that travels with talkbench."""
    return checkpoint.SHIPPED / f"{name}.npz"


def candidate(name: str, path: Path | None = None) -> Candidate:
    """A method with weights as a row of the table.

    Args:
        name: of the method. path: its weight file (default: the shipped one).

    Raises:
        CheckpointError: no such file, damaged, or of another method.
    """
    method = methods.load(name)
    tree, meta = checkpoint.load(path or shipped(name), "method", name)
    config = ConfigDict(meta["config"])
    generate = method.generator(config, tree)

    def animate(source, clip: Clip):
        return generate(source, Driving(frames=clip.frames, audio=clip.audio, pose=clip.pose))

    return Candidate(
        name,
        method.driven_by,
        animate,
        provenance={
            "checkpoint": meta["digest"], "config": meta["config_hash"], "preset": meta["config"]["preset"],
            "seed": meta["config"]["seed"], "trained_on": meta["data"], "shipped": path is None,
        },
    )  # fmt: skip


def judges(protocol: Protocol) -> dict:
    """{kind: judge} of the judges that the protocol names and that are at hand; None where one is not."""
    known = builtin.BY_NAME
    return {kind: known[name]() if name in known else None for kind, name in protocol.judges.items()}


def source(protocol: Protocol, data: str | None = None):
    """The protocol's clips.

    Args:
        data: another set, as `--data` takes it (`folder=DIR`); default the protocol's own.
    """
    if data is None and protocol.dataset == "synthetic":
        return SyntheticSource(protocol.split, protocol.size)
    return sources.open_store(data or protocol.dataset, protocol.size, protocol.split)


def evaluate(
    protocol: Protocol,
    names: Sequence[str],
    results: Path,
    *,
    checkpoints: dict[str, Path] | None = None,
    data: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> runner.Report:
    """Run methods and baselines on a protocol; result files go to `results`.

    Args:
        names: methods. checkpoints: {method: weight file}, where not the shipped one.
        data: see `source`.
    """
    clips = source(protocol, data)
    candidates = [
        *baselines(clips, protocol.metrics),
        *(candidate(n, (checkpoints or {}).get(n)) for n in names),
    ]
    return runner.run(protocol, clips, candidates, judges(protocol), results, progress=progress)


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
        split="all",
        size=size,
        metrics=("l1", "psnr", "ssim", *(("ms_ssim",) if size > 160 else ())),
    )
