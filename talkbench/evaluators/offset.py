"""Sync judges as `data prepare` calls them: how far sound and picture of a clip are apart."""

import numpy as np

from talkbench.evaluators import builtin, published, synchrony
from talkbench.metrics import sync as formulas


class Offset:
    """`offset(frames, audio)` by a sync judge.

    Attributes:
        name, hash: of the judge.
    """

    def __init__(self, judge):
        self._judge = judge
        self.name, self.hash = judge.name, judge.hash

    def offset(self, frames: np.ndarray, audio: np.ndarray) -> dict | None:
        """uint8 RGB (T, H, W, 3) and float32 (640 T,) in [-1, 1] -> what `metrics.sync.search` finds.

        Returns:
            {"offset": frames by which the sound leads (negative: it is late), "confidence": LSE-C, "distance": LSE-D,
            "windows"}; None where no face could be followed for as many windows as `metrics.sync` needs.
        """
        video, sound = self._judge.sync(frames, audio)
        if len(video) < formulas.SMALLEST_WINDOWS:
            return None
        found = formulas.search(video, sound)
        return {
            "offset": int(found.offset), "confidence": found.lse_c, "distance": found.lse_d, "windows": len(video),
        }  # fmt: skip


def load(name: str) -> Offset:
    """The judge called `name`: "synth-sync" or a sync judge of `published.JUDGES`.

    Raises:
        WeightsMissing: a weight file isn't there; the message says how to get it.
    """
    return Offset(builtin.sync_judge() if name == synchrony.NAME else published.load(name))
