"""What PC-AVS promises and the tables do not show: does speech leave the head alone, and is there one space for lips and sound?

    python -m talkbench.methods.pcavs.report [--checkpoint FILE] [--split test] [--every 1]

Every clip of a synthetic split is made twice, with its own speech and with other speech of the same speaker, both times
with its own frames as the pose's source. Then stretches of speech choose among stretches of lips.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from talkbench import config as configs
from talkbench.batches import in_batches
from talkbench.data.clip import Clip
from talkbench.data.synthetic.source import SyntheticSource
from talkbench.evaluators import builtin
from talkbench.geometry.head import head
from talkbench.methods.method import Driving
from talkbench.methods.pcavs import mel
from talkbench.methods.pcavs.frames import crop
from talkbench.methods.pcavs.method import METHOD
from talkbench.methods.pcavs.modules import Pass, modules
from talkbench.methods.pcavs.stages import unit
from talkbench.metrics import landmark
from talkbench.weights import checkpoint
from talkbench.weights.checkpoint import SHIPPED

STRETCH = 12  # frames that are compared as one, as published for the sync stage
CANDIDATES = 16


def yaw(landmarks: np.ndarray) -> np.ndarray:
    """Degrees (T,) of landmarks (T, 68, 2), fitted to the mean face."""
    rest = head().vertices[head().landmarks68].astype(np.float64) * (1, -1, 1)
    return landmark.euler(landmark.rotations(landmarks, rest))[:, 1]


def disentanglement(
    generate: Callable, find: Callable, clip: Clip, other_sound: np.ndarray
) -> dict[str, float]:
    """One clip made with its own and with other speech.

    Args:
        generate: of the method. find: `f(frames) -> landmarks (T, 68, 2)`.
        other_sound: float (640 T,).

    Returns:
        `yaw_r`: correlation of the generated head's yaw with the driving clip's. `pose_moved`: how far other speech
        turns the head (mean, degrees of yaw) in shares of the clip's range of yaw. `mouth_r` and `wrong_mouth_r`:
        correlation of the lip gap with the real clip's, with its own and with other speech. `mouth_moved`: mean
        change of the lip gap by other speech in shares of its range.
    """
    source = clip.frames[0]
    own, wrong = (
        find(generate(source, Driving(frames=clip.frames, audio=audio)))[1:]
        for audio in (clip.audio, other_sound)
    )
    real = clip.landmarks[1:, :, :2]
    truth, turned, turned_wrong = yaw(real), yaw(own), yaw(wrong)
    gaps = landmark.lip_gap(own), landmark.lip_gap(wrong)
    return {
        "yaw_r": landmark.correlation(truth, turned),
        "pose_moved": float(np.abs(turned - turned_wrong).mean() / np.ptp(truth)),
        "mouth_r": landmark.lip_gap_r(real, own),
        "wrong_mouth_r": landmark.lip_gap_r(real, wrong),
        "mouth_moved": float(np.abs(gaps[0] - gaps[1]).mean() / max(np.ptp(gaps[0]), 1e-6)),
    }


def encoders(config: ConfigDict, variables: dict, batch: int = 50) -> tuple[Callable, Callable]:
    """`seen(frames uint8 (T, H, W, 3))` and `heard(audio)`, both -> unit rows (T, features) of one space."""
    part, nets = variables["generator"], modules(config)

    def normal(x):
        return x / jax.numpy.linalg.norm(x, axis=-1, keepdims=True)

    @jax.jit
    def look(part, frames):
        run = Pass(nets, part["params"], part["stats"])
        return normal(run("E", run("E", unit(frames), method="feature"), method="mouth"))

    @jax.jit
    def listen(part, windows):
        return normal(Pass(nets, part["params"], part["stats"])("A_sync", windows[..., None])[0])

    def seen(frames):
        return in_batches(partial(look, part), batch, crop(frames) if config.augment.crop else frames)

    return seen, lambda audio: in_batches(partial(listen, part), batch, mel.windows(audio))


def retrieval(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    within: bool,
    rng: np.random.Generator,
    length: int = STRETCH,
) -> float:
    """Share of stretches of speech whose nearest of `CANDIDATES` stretches of lips is their own.

    Args:
        pairs: (seen, heard) of each clip, (T, D).
        within: the others are of the same clip at other times (they may overlap); else each of another clip.
        length: frames of a stretch.

    Raises:
        ValueError: too few clips, or clips too short, for that many others.
    """
    stretch = lambda rows, start: rows[start : start + length].ravel()  # noqa: E731
    hits = []
    for i, (seen, heard) in enumerate(pairs):
        starts = len(seen) - length + 1
        if (starts if within else len(pairs)) < CANDIDATES:
            raise ValueError(f"clip {i}: fewer than {CANDIDATES} stretches to choose from; take more clips")
        for start in range(0, starts, length):
            query = stretch(heard, start)
            if within:
                others = rng.choice(np.delete(np.arange(starts), start), CANDIDATES - 1, replace=False)
                wrong = [stretch(seen, other) for other in others]
            else:
                others = rng.choice(np.delete(np.arange(len(pairs)), i), CANDIDATES - 1, replace=False)
                wrong = [stretch(pairs[j][0], rng.integers(len(pairs[j][0]) - length + 1)) for j in others]
            distance = [np.linalg.norm(query - rows) for rows in (stretch(seen, start), *wrong)]
            hits.append(np.argmin(distance) == 0)
    return float(np.mean(hits))


def measure(config: ConfigDict, variables: dict, clips: Sequence[Clip]) -> dict[str, float]:
    """Means over clips of `disentanglement`, and `retrieval` of 1 of 16 (chance .0625) over one clip of each speaker."""
    generate, judge = METHOD.generator(config, variables), builtin.landmark_judge()
    rows = []
    for i, clip in enumerate(clips):
        following = [*clips[i + 1 :], *clips[:i]]
        other = next((c for c in following if c.identity == clip.identity), following[0])
        sound = np.resize(other.audio, clip.audio.shape)
        rows.append(disentanglement(generate, judge.landmarks, clip, sound))
    figures = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    seen, heard = encoders(config, variables)
    speakers = list({clip.identity: clip for clip in clips}.values())
    pairs = [(seen(clip.frames), heard(clip.audio)) for clip in speakers]
    rng = np.random.default_rng(0)
    if len(pairs) >= CANDIDATES:
        figures["retrieval_speakers"] = retrieval(pairs, False, rng)
    figures["retrieval_times"] = retrieval(pairs, True, rng)
    figures["retrieval_times_frame"] = retrieval(pairs, True, rng, length=1)
    return figures | {"clips": len(clips)}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: the shipped ones)")
    parser.add_argument("--split", default="test", help="of the synthetic set (default test)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th clip")
    args = parser.parse_args(argv)
    tree, meta = checkpoint.load(args.checkpoint or SHIPPED / "pcavs.npz", "method", "pcavs")
    config = configs.of_weights(meta)
    source = SyntheticSource(args.split, config.data.size)
    clips = [source.clip(clip_id) for clip_id in source.clip_ids[:: args.every]]
    print(json.dumps(measure(config, tree, clips), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
