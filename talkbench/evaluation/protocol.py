"""Protocol: what makes two rows of a table comparable. One file in `evals/` a benchmark."""

import importlib.util
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from talkbench.metrics import registry
from talkbench.resources import folder

# reconstruction: source = first frame, driving = the rest of the same clip;
# cross_identity: source = first frame of another person's clip (`selection.crossed`)
TASKS = ("reconstruction", "cross_identity")

# What the benchmarks of real speakers have in common
REAL_METRICS = (
    *("l1", "psnr", "ssim", "ms_ssim", "lpips", "fid", "kid"),
    *("lmd", "akd", "mkr", "lip_gap_r", "d_ll", "d_vl", "d_a", "d_l", "d_v", "d_rot", "d_pos"),
    *("csim", "csim_source", "head_pose", "lse_c", "lse_d", "av_offset"),
)
PUBLISHED_JUDGES = {
    "landmarks": "fan-2d",
    "features": "inception-fid",
    "lpips": "lpips-vgg",
    "identity": "arcface-irse50-bgr",
    "pose": "hopenet",
    "sync": "syncnet",
}


class ProtocolError(ValueError):
    """A protocol that does not exist or contradicts itself; the message says what to change."""


@dataclass(frozen=True)
class Protocol:
    """A benchmark.

    Attributes:
        name: of the benchmark; its tables are leaderboards/NAME.*.
        version: goes up with any change that moves a score.
        title: one line for tables and pages.
        dataset, split, size: which clips, and their side in pixels.
        tasks: of `TASKS`.
        metrics: keys of `metrics.registry.METRICS`, in the order of the tables.
        judges: {kind: name of the judge}; a metric whose judge is missing is reported as not available.
        selection: rule that picks the clips, a key of `selection.RULES` or a path of a list; "": all.
        clips: how many clips of the split, in its order; None: all.
        frames: score at most so many frames of a clip (the source frame included); None: all.
        options: {metric key: {option: value}}, such as {"ms_ssim": {"scales": 3}}; part of the metric's
            version.
        tolerances: {metric key: largest change for the worse that the regression check lets pass}, absolute.
        gallery: clip ids that result pages show.
        seed: of the bootstrap and of whatever methods draw.
    """

    name: str
    version: int
    title: str
    dataset: str
    split: str
    size: int
    metrics: tuple[str, ...]
    tasks: tuple[str, ...] = ("reconstruction",)
    judges: dict[str, str] = field(default_factory=dict)
    selection: str = ""
    clips: int | None = None
    frames: int | None = None
    options: dict[str, dict] = field(default_factory=dict)
    tolerances: dict[str, float] = field(default_factory=dict)
    gallery: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self):
        registry.known(self.metrics)
        for what, names, allowed in (
            ("task", self.tasks, TASKS),
            ("kind of judge", self.judges, registry.JUDGE_KINDS),
            ("metric (options)", self.options, self.metrics),
            ("metric (tolerances)", self.tolerances, self.metrics),
        ):
            strange = [name for name in names if name not in allowed]
            if strange:
                raise ProtocolError(
                    f"protocol {self.name!r}: unknown {what} {', '.join(strange)}; "
                    f"there are {', '.join(allowed)}"
                )
        if len(set(self.metrics)) != len(self.metrics):
            raise ProtocolError(f"protocol {self.name!r} names a metric twice")

    def as_dict(self) -> dict:
        """Plain values, as JSON holds them."""
        return json.loads(json.dumps(asdict(self)))

    def scoring(self) -> dict:
        """What can move a score or decides what is stored: all but title and tolerances."""
        return {key: value for key, value in self.as_dict().items() if key not in ("title", "tolerances")}

    def metric_version(self, key: str) -> str:
        """The metric's version string with this protocol's options."""
        return registry.version(key, self.options.get(key))


def names() -> list[str]:
    """Names of the benchmarks in `evals/`."""
    return sorted(path.stem for path in folder("evals").glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> Protocol:
    """The protocol `evals/NAME.py`, which defines PROTOCOL; a path to such a file works too."""
    path = Path(name) if name.endswith(".py") else folder("evals") / f"{name}.py"
    if not path.is_file():
        raise ProtocolError(f"no benchmark {name!r}; there are {', '.join(names()) or 'none'}")
    spec = importlib.util.spec_from_file_location(f"talkbench_evals_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    protocol = getattr(module, "PROTOCOL", None)
    if not isinstance(protocol, Protocol):
        raise ProtocolError(f"{path} must define PROTOCOL, a talkbench.evaluation.protocol.Protocol")
    if protocol.name != path.stem:
        raise ProtocolError(f"{path} names its protocol {protocol.name!r}; file and name must agree")
    return protocol
