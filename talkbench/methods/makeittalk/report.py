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
from dataclasses import replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from talkbench import config as configs
from talkbench.data.clip import FPS, Clip
from talkbench.data.synthetic.identity import make_identity
from talkbench.data.synthetic.motion import controls, head_motion
from talkbench.data.synthetic.render import Camera
from talkbench.data.synthetic.source import SPLITS, SyntheticSource
from talkbench.data.synthetic.speech import clip_stream, speaker, text
from talkbench.geometry.head import head, pose_vertices
from talkbench.methods.makeittalk import framing
from talkbench.methods.makeittalk.method import animator
from talkbench.metrics import landmark
from talkbench.weights import checkpoint
from talkbench.weights.checkpoint import SHIPPED

OTHER_TAKE = 50  # added to a clip's number: one that no split has
TAKES = 40  # that a nod's average strength is of


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


def audible_d_vl(every: int = 1) -> dict[str, float]:
    """D-VL over that of a still frame, of what somebody could draw who hears perfectly: true landmarks of the test split.

    Of what a head does, sound tells the nods alone; a head that is turned away comes back, and for the rest is as likely to
    go one way as the other. So much is left by

    - `lips`: true lips on a still head,
    - `lips_nods_return`: true nods as well (whether and how strong can't be heard), while the head goes back to where it
      rests as such heads do on average (where and how fast can't be known either),
    - `lips_likely_head`: the same with each nod that may come, as strong as such nods are on average; no method knows more;
    - `lips_nods_alike`: true nods, and yaw and pitch wander as much and as fast as that person's: another draw of them.
    """
    split, camera, marks = SPLITS["test"], Camera(64), head().landmarks68
    times, rows = (np.arange(split.num_frames) + 0.5) / FPS, []
    pairs = [(person, number) for person in split.identities for number in split.clips]
    for person, number in pairs[::every]:
        moves = controls(person, number, split.num_frames)
        identity, voice = make_identity(person), speaker(person)
        words = text(voice, clip_stream(person, number, 0), split.num_frames / FPS)

        def moving(number, voice=voice, person=person, words=words):
            return head_motion(voice, words, clip_stream(person, number, 2), times)

        def wander(number, quiet=replace(voice, nod=0.0), moving=moving):
            return moving(number, quiet)

        def points(pose, expression, identity=identity, moves=moves):
            posed = identity.vertices(expression, moves.blink, moves.gaze)
            posed = pose_vertices(posed, identity.pose_weights, pose[:, :3], pose[:, 3:])
            return camera.project(posed[:, marks])[..., :2]

        nods, rest = moves.pose - wander(number), np.array([*voice.rest, 0, 0])
        pace = np.array([*[0.55 / voice.speed] * 2, 1.3, 0.9, 0.9])  # seconds, see `motion.head_motion`
        # What is left, on average, of where the head was at first.
        fading = np.exp(-(((times - times[0])[:, None] / (2 * pace)) ** 2))
        back = rest + (wander(number)[:1] - rest) * fading
        takes = range(OTHER_TAKE, OTHER_TAKE + TAKES)
        likely = np.mean([moving(take) - wander(take) for take in takes], 0)
        other = wander(OTHER_TAKE + number) - rest
        alike = (other - other[:1] * fading) * [1, 1, 0, 0, 0]
        still = np.broadcast_to(moves.pose[:1], moves.pose.shape)
        mute = np.broadcast_to(moves.expression[:1], moves.expression.shape)
        real = points(moves.pose, moves.expression)
        heads = still, back + nods, back + likely, back + nods + alike
        guesses = (still, mute), *((head, moves.expression) for head in heads)
        rows.append([landmark.d_vl(real, points(*guess)) for guess in guesses])
    static, *others = np.mean(rows, 0).tolist()
    names = ("lips", "lips_nods_return", "lips_likely_head", "lips_nods_alike")
    return {f"d_vl_of_true_{name}": one / static for name, one in zip(names, others, strict=True)}


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
    for moving in (True, False):
        rows = []
        for clip in tested:
            real, fake = clip.landmarks[1:], moved(clip, clip.landmarks[0], head=moving)[1:]
            rows.append((landmark.d_rot(real, fake, standard), landmark.d_pos(real[..., :2], fake[..., :2])))
        end = "" if moving else "_without_speaker"
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
    figures = measure(configs.of_weights(meta), tree, args.every) | audible_d_vl(args.every)
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
