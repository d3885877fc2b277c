"""The table at the end of a training run: the trained method against the static baseline on held-out clips."""

from pathlib import Path

import numpy as np

from talkbench.data import sources
from talkbench.evaluation.benchmark import candidate
from talkbench.evaluation.candidate import allowed
from talkbench.metrics import batched, registry
from talkbench.weights import checkpoint

CLIPS = 8
KEYS = ("psnr", "ssim", "l1")


def validate(name: str, path: Path, data: str) -> list[str]:
    """Lines of a table: mean over clips of PSNR, SSIM and L1 of the weights in `path`, and of the source frame held still.

    The synthetic set has a validation split (people of training, unseen speech); a folder of videos has none, so that
    its figures are about the training clips themselves, and the title says so.
    """
    _, meta = checkpoint.load(path, "method", name)
    store = sources.open_store(data, meta["config"]["data"]["size"], "val")
    held_out = sources.held_out(data, "val")
    row = candidate(name, path)
    scores = {name: [], "static": []}
    for clip_id in store.clip_ids[:CLIPS]:
        clip = store.clip(clip_id)
        made = row.generate(clip.frames[0], allowed(clip, row.driven_by))
        still = np.repeat(clip.frames[:1], clip.num_frames, 0)
        for label, frames in ((name, made), ("static", still)):
            found = batched.score(clip.frames[1:], frames[1:], KEYS)
            scores[label].append([found[key].mean() for key in KEYS])
    count = len(scores[name])
    title = f"validation on {count} clips of {store.name}" + (
        "" if held_out else " (the clips it was trained on)"
    )
    lines = [title, f"{'':14}" + "".join(f"{registry.METRICS[key].name:>10}" for key in KEYS)]
    for label, rows in scores.items():
        lines.append(f"{label:14}" + "".join(f"{value:10.3f}" for value in np.mean(rows, 0)))
    return lines
