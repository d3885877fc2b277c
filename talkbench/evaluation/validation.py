"""The table at the end of a training run: the trained method against the static baseline on held-out clips."""

from pathlib import Path

import numpy as np

from talkbench.data import sources
from talkbench.evaluation.benchmark import rows_of
from talkbench.evaluation.candidate import allowed
from talkbench.metrics import batched, registry
from talkbench.weights import checkpoint

CLIPS = 8
KEYS = ("psnr", "ssim", "l1")


def validate(name: str, path: Path, data: str) -> list[str]:
    """Lines of a table: mean over clips of PSNR, SSIM and L1 of each row of the method with the weights in `path`, and of the
    source frame held still.

    The synthetic set has a validation split (people of training, unseen speech); a folder of videos has none, so that
    its figures are about the training clips themselves, and the title says so.
    """
    _, meta = checkpoint.load(path, "method", name)
    store = sources.open_store(data, meta["config"]["data"]["size"], "val")
    held_out = sources.held_out(data, "val")
    scores = {}
    clips = store.clip_ids[:CLIPS]
    rows = rows_of(name, path)
    for clip in map(store.clip, clips):
        still = np.repeat(clip.frames[:1], clip.num_frames, 0)
        shown = {"static": (clip, still)}
        for row in rows:
            made = row.generate(clip.frames[0], allowed(clip, row.driven_by))
            shown[row.name] = (row.reference(clip) if row.reference else clip), made
        for label, (real, frames) in shown.items():
            found = batched.score(real.frames[1:], frames[1:], KEYS)
            scores.setdefault(label, []).append([found[key].mean() for key in KEYS])
    title = f"validation on {len(clips)} clips of {store.name}" + (
        "" if held_out else " (the clips it was trained on)"
    )
    lines = [title, f"{'':14}" + "".join(f"{registry.METRICS[key].name:>10}" for key in KEYS)]
    for label, rows in scores.items():
        lines.append(f"{label:14}" + "".join(f"{value:10.3f}" for value in np.mean(rows, 0)))
    return lines
