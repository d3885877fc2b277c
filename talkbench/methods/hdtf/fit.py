"""Mesh coefficients for clips that have landmarks only: a copy of a data set with them, to train HDTF on.

    python -m talkbench.methods.hdtf.fit --data folder=DIR --size 512 --out FITTED
    talkbench train --method hdtf --preset paper --data folder=FITTED

Each clip is fitted as a whole (`face_fit`): one shape and scale, pose and expression for every frame. Blinks are fitted, so
that eyelids pull on nothing else, and left out.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from talkbench.data.clip import Clip
from talkbench.geometry.face_model import free_model
from talkbench.geometry.head import PIVOT
from talkbench.geometry.rotations import head_rotation
from talkbench.methods.hdtf import mesh
from talkbench.methods.hdtf.face_fit import FaceFit, FitError, fit_face


def motion_of_fit(fit: FaceFit, side: int) -> mesh.Motion:
    """A fitted clip in pictures `side` pixels wide; landmarks had pixel centres at +0.5."""
    pivot = fit.translation + fit.scale * (head_rotation(fit.angles) @ PIVOT)[:, :2] * (1, -1)
    head = np.concatenate([fit.angles, pivot / side], 1)
    return mesh.Motion(fit.shape, fit.expression[:, : mesh.EXPRESSIONS], head, fit.scale / side)


def fitted(clip: Clip) -> tuple[Clip, float]:
    """The clip with shape, expression and pose of its face, and the mean residual in shares of the face's width.

    The pose's fourth and fifth number are the place of the head's pivot in pixels, the last is the scale, in pixels a
    unit of the model.

    Raises:
        FitError: no landmarks, or too few in a frame.
    """
    if clip.landmarks is None:
        raise FitError(f"{clip.clip_id}: no landmarks; put NAME.landmarks.npz beside the video")
    fit = fit_face(free_model(), clip.landmarks)
    side = clip.frames.shape[2]
    motion = motion_of_fit(fit, side)
    scale = np.full((clip.num_frames, 1), fit.scale)
    pose = np.concatenate([motion.head[:, :3], side * motion.head[:, 3:], scale], 1)
    arrays = {"shape": motion.shape, "expression": motion.expression, "pose": pose}
    return replace(clip, **{name: np.asarray(x, np.float32) for name, x in arrays.items()}), fit.error


def fitted_clips(clips: Iterable[Clip], limit: float) -> Iterator[Clip]:
    """Clips that can be fitted, one after the other; says on stderr which ones are left out and why."""
    for clip in clips:
        try:
            made, error = fitted(clip)
        except FitError as reason:
            print(f"left out {clip.clip_id}: {reason}", file=sys.stderr)
            continue
        if error > limit:
            print(
                f"left out {clip.clip_id}: landmarks are {100 * error:.2f} % of the face off", file=sys.stderr
            )
            continue
        print(f"{clip.clip_id}: {100 * error:.2f} % of the face's width", flush=True)
        yield made


def main(argv: Sequence[str] | None = None) -> None:
    from talkbench.data import sources
    from talkbench.data.store import write_store

    parser = argparse.ArgumentParser(prog="python -m talkbench.methods.hdtf.fit", description=__doc__)
    parser.add_argument("--data", required=True, metavar="SET", help="as `talkbench train` takes it")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures (default 512)")
    parser.add_argument("--split", default="train", help="of prepared sets (default train)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the fitted copy")
    parser.add_argument(
        "--limit", type=float, default=0.05, help="largest mean residual, in shares of the face's width"
    )
    args = parser.parse_args(argv)
    store = sources.open_store(args.data, args.size, args.split)
    clips = fitted_clips(store.clips(), args.limit)
    made = write_store(args.out, clips, codec="jpeg" if args.size >= 256 else "png", name=store.name)
    print(f"{args.out}: {len(made)} of {len(store)} clips; train with --data folder={args.out}")


if __name__ == "__main__":
    main()
