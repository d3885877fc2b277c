"""Does the face decide how one moves? One sound, several faces: curves of eyebrows and head that G_ani makes.

    python -m talkbench.methods.hdtf.report --audio speech.wav --out style.png face1.png face2.png ... [--checkpoint FILE]

Draws the curves, and prints how far faces differ in them against how far a curve moves at all (the paper's experiment on
style: eyebrows and head should differ, the mouth hardly).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from talkbench import config as configs
from talkbench.geometry.head import EXPRESSION_NAMES
from talkbench.methods import detect
from talkbench.methods.hdtf import mesh
from talkbench.methods.hdtf.method import listener
from talkbench.weights import checkpoint
from talkbench.weights.checkpoint import SHIPPED

SHOWN = ("browInnerUp", "browDownLeft", "jawOpen", "yaw", "pitch", "roll")
_ANGLES = ("yaw", "pitch", "roll")
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))


def specificity(curves: np.ndarray) -> float:
    """Curves (identities, T, P): spread over identities in shares of the spread over both; 0: all the same.

    The mean over parameters that move at all.
    """
    curves = np.asarray(curves, np.float64)
    between = curves.var(0).mean(0)
    total = curves.reshape(-1, curves.shape[-1]).var(0)
    moving = total > 1e-12
    return float((between[moving] / total[moving]).mean()) if moving.any() else 0.0


def summary(expression: np.ndarray, head: np.ndarray) -> dict[str, float]:
    """`specificity` of mouth, eyebrows and head. expression (I, T, 33), head (I, T, 5)."""
    return {
        "mouth": specificity(expression[..., list(mesh.MOUTH)]),
        "eyebrow": specificity(expression[..., list(mesh.EYEBROWS)]),
        "head": specificity(head),
    }


def plot(expression: np.ndarray, head: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """The curves as a picture, uint8 (H, W, 3) RGB: a panel for each of `SHOWN`, a colour for each identity."""
    width, height, margin = 900, 150, 30
    panels = []
    for name in SHOWN:
        values = (
            head[..., _ANGLES.index(name)]
            if name in _ANGLES
            else expression[..., EXPRESSION_NAMES.index(name)]
        )
        low, high = values.min(), max(values.max(), values.min() + 1e-3)
        panel = np.full((height, width, 3), 255, np.uint8)
        cv2.putText(
            panel, f"{name}  {low:.2f} to {high:.2f}", (margin, 20), 0, 0.5, (0, 0, 0), 1, cv2.LINE_AA
        )
        x = np.linspace(margin, width - margin, values.shape[1])
        for i, curve in enumerate(values):
            y = height - 10 - (curve - low) / (high - low) * (height - 40)
            line = np.rint(np.stack([x, y], 1)).astype(np.int32)
            cv2.polylines(panel, [line], False, _COLOURS[i % len(_COLOURS)], 1, cv2.LINE_AA)
        panels.append(panel)
    legend = np.full((30, width, 3), 255, np.uint8)
    for i, label in enumerate(labels):
        at = (margin + i * 140, 20)
        cv2.putText(legend, label[:16], at, 0, 0.45, _COLOURS[i % len(_COLOURS)], 1, cv2.LINE_AA)
    return np.concatenate([legend, *panels])


def main(argv: Sequence[str] | None = None) -> None:
    from talkbench.data import media

    parser = argparse.ArgumentParser(prog="python -m talkbench.methods.hdtf.report", description=__doc__)
    parser.add_argument("faces", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--audio", type=Path, required=True, metavar="SOUND")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights (default: the shipped ones)")
    args = parser.parse_args(argv)
    tree, meta = checkpoint.load(args.checkpoint or SHIPPED / "hdtf.npz", "method", "hdtf")
    config = configs.of_weights(meta)
    hear = listener(config, tree)
    audio = media.whole_frames(media.read_audio(args.audio))
    made = []
    for path in args.faces:
        picture = media.read_image(path, config.data.size)
        made.append(hear(audio, picture, detect.landmarks(picture, config.model.detector)))
    expression, head = (np.stack(part) for part in zip(*made, strict=True))
    drawn = plot(expression, head, [path.stem for path in args.faces])
    if not cv2.imwrite(str(args.out), drawn[..., ::-1]):
        raise OSError(f"{args.out}: cannot be written; choose another place, ending in .png")
    for part, value in summary(expression, head).items():
        print(f"{part:8} {value:.3f} of the variance is between faces")
    print(f"plot: {args.out}")


if __name__ == "__main__":
    main()
