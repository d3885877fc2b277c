"""Judges by name, the published ones included: what is not at hand is told with the reason, never replaced."""

from pathlib import Path

from talkbench.evaluation.measure import MissingJudge
from talkbench.evaluators import published
from talkbench.weights.store import WeightsMissing

FILE = "file"  # landmarks that lie beside the clips
# the judge of each kind that published numbers are nearest to
HEADLINE = {
    "landmarks": "fan-2d",
    "features": "inception-fid",
    "lpips": "lpips-vgg",
    "sync": "syncnet",
    "identity": "arcface-irse50-bgr",
    "pose": "hopenet",
}


def load(name: str, kind: str, weights: str | Path | None = None):
    """A published judge, or a `MissingJudge` where its weights are not there or are another network's.

    Args:
        name: a key of `published.JUDGES`. kind: what it is asked for, such as "landmarks".
        weights: folder of weight files; None: the default one.

    Raises:
        ValueError: no such judge, or one of another kind.
    """
    fitting = [known for known, (of, _) in published.JUDGES.items() if of == kind]
    if name not in fitting:
        raise ValueError(f"no published judge {name!r} for {kind}: choose {', '.join(fitting)}")
    try:
        return published.load(name, weights)
    except WeightsMissing as error:
        return MissingJudge(name, str(error))
    except Exception as error:  # a foreign file fails wherever its reader or converter stumbles over it
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        return MissingJudge(name, f"{name} cannot be loaded: {text}", broken=True)


def parse(texts: list[str]) -> dict[str, str]:
    """`["landmarks=fan-2d", ...]` -> {kind: name}; ValueError for anything else."""
    chosen = {}
    for text in texts:
        kind, _, name = text.partition("=")
        if kind not in HEADLINE or not name:
            raise ValueError(f"--judge {text}: write KIND=NAME; kinds are {', '.join(HEADLINE)}")
        chosen[kind] = name
    return chosen
