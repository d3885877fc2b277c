"""What MakeItTalk promises and the tables do not show: does a voice bring its speaker's head motion, and does it help?

    python -m talkbench.methods.makeittalk.report [--checkpoint FILE] [--every 1]

In the synthetic set how a head moves cannot be heard in a stranger's voice (both are drawn independently), so speaker
awareness is measured on people of the training set saying something new (split `val`), with one stranger's portrait for all;
once with the speaker vector of their known recordings, and once with that of the three new seconds alone. The ablation, with
and without the speaker branch, is of the test split's people. Both are of landmarks, before pictures are drawn.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from talkbench.data.clip import FPS, Clip
from talkbench.data.synthetic.motion import controls
from talkbench.data.synthetic.source import SPLITS, SyntheticSource
from talkbench.methods.makeittalk import framing
from talkbench.methods.makeittalk.method import animator
from talkbench.metrics import landmark
from talkbench.weights import checkpoint
from talkbench.weights.checkpoint import SHIPPED


def manner(angles: np.ndarray) -> np.ndarray:
    """How a head moves, (4,): logarithms of the deviation (degrees) and the mean speed (degrees a second) of yaw and pitch.

    Args:
        angles: (T, 2) degrees at 25 frames/s.
    """
    amplitude, speed = angles.std(0), FPS * np.abs(np.diff(angles, axis=0)).mean(0)
    return np.log(np.concatenate([amplitude, speed]) + 1e-6)


def awareness(made: np.ndarray, true: np.ndarray) -> float:
    """Share of ordered pairs of people (A, B) where A's generated manner is nearer to A's true one than to B's.

    Distances are Euclidean, each figure in units of its deviation over people; .5 is chance.

    Args:
        made, true: (people, 4), see `manner`.
    """
    unit = true.std(0)
    distance = np.linalg.norm((made[:, None] - true[None]) / unit, axis=-1)
    own = np.diag(distance)[:, None]
    others = ~np.eye(len(made), dtype=bool)
    return float((own < distance)[others].mean())


def turned(landmarks: np.ndarray, standard: np.ndarray) -> np.ndarray:
    """Yaw and pitch, degrees (T, 2), of a head's landmarks (T, 68, 3), x right and y down."""
    return landmark.euler(landmark.rotations(landmarks, standard))[:, [1, 0]]


def measure(config: ConfigDict, variables: dict, every: int = 1) -> dict[str, float]:
    """Figures of the module's docstring; each `every`-th person of `val`, each `every`-th clip of `test`."""
    standard, animate = framing.standard_face(config.model.standard_face), animator(config, variables)
    size = config.data.size

    def moved(
        clip: Clip, source: np.ndarray, head: bool = True, voice: np.ndarray | None = None
    ) -> np.ndarray:
        scene = framing.frame(source, size, standard)
        return scene.pixels(animate(clip.audio, clip.num_frames, scene, head, voice=voice))

    test = SyntheticSource("test", size)
    tested = [test.clip(name) for name in test.clip_ids[::every]]
    portrait = tested[0].landmarks[0]
    val = SyntheticSource("val", size)
    made, once, true = [], [], []
    for person, name in list(zip(SPLITS["val"].identities, val.clip_ids, strict=True))[::every]:
        split, clip = SPLITS["train"], val.clip(name)
        known = [controls(person, number, split.num_frames) for number in split.clips]
        true.append(np.mean([manner(one.pose[:, :2]) for one in known], 0))
        voice = np.concatenate([one.audio for one in known])
        for rows, heard in ((made, voice), (once, None)):
            rows.append(manner(turned(moved(clip, portrait, voice=heard), standard)))
    made, true = np.array(made), np.array(true)
    figures = {"speaker_aware_pairs": awareness(made, true), "people": len(made)}
    figures["speaker_aware_pairs_heard_once"] = awareness(np.array(once), true)
    names = ("yaw_amplitude", "pitch_amplitude", "yaw_speed", "pitch_speed")
    for name, ours, theirs in zip(names, made.T, true.T, strict=True):
        figures[f"{name}_r"] = landmark.correlation(ours, theirs)
    for head in (True, False):
        rows = []
        for clip in tested:
            real, fake = clip.landmarks[1:], moved(clip, clip.landmarks[0], head=head)[1:]
            rows.append((landmark.d_rot(real, fake, standard), landmark.d_pos(real[..., :2], fake[..., :2])))
        end = "" if head else "_without_speaker"
        figures |= dict(zip((f"d_rot{end}", f"d_pos{end}"), np.mean(rows, 0).tolist(), strict=True))
    return figures | {"clips": len(tested)}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: the shipped ones)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th person and clip")
    args = parser.parse_args(argv)
    tree, meta = checkpoint.load(args.checkpoint or SHIPPED / "makeittalk.npz", "method", "makeittalk")
    print(json.dumps(measure(ConfigDict(meta["config"]), tree, args.every), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
