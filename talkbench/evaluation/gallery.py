"""Footage of the few clips that result pages show, kept while a benchmark runs.

RESULTS/METHOD/TASK/gallery/CLIP.mp4   what a row generated, with the sound that it was judged with
RESULTS/METHOD/TASK/gallery/CLIP.npz   source picture; shape; landmarks that the judge saw, where there is one
RESULTS/METHOD/TASK/gallery/CLIP.png   a few of its frames side by side
RESULTS/gallery/CLIP.*                 the same of the real clip, which is what drives
"""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from talkbench.data.clip import Clip
from talkbench.data.show import write_clip_video
from talkbench.evaluation.measure import Footage, absent, evenly_spaced
from talkbench.evaluation.protocol import Protocol
from talkbench.evaluation.results import file_name, write_atomically

STRIP_FRAMES = 8
CLIPS = 4  # that are shown where the protocol names none of those at hand
WIDTH = 256  # of the videos at least: smaller ones lose their colours to H.264's halved chroma


def shown(protocol: Protocol, ids: Sequence[str]) -> list[str]:
    """The clips that pages show: those of the protocol's gallery that are among `ids`, else the first few."""
    return [clip_id for clip_id in protocol.gallery if clip_id in ids] or list(ids[:CLIPS])


def real_folder(results: Path) -> Path:
    """Where the real clips' footage is."""
    return Path(results) / "gallery"


def png(picture: np.ndarray) -> bytes:
    """uint8 (H, W, 3) RGB as PNG."""
    done, code = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("OpenCV could not write a PNG")
    return code.tobytes()


def strip_indices(count: int) -> np.ndarray:
    """Which of `count` frames a strip shows."""
    return evenly_spaced(count, STRIP_FRAMES)


def keep(folder: Path, clip_id: str, footage: Footage, source: np.ndarray, judge) -> None:
    """Write one row's footage of a clip.

    Args:
        folder: for the files. source: uint8 (H, W, 3), the picture that was animated.
        judge: of landmarks; None or a `MissingJudge`: no landmarks are kept.
    """
    path = Path(folder) / file_name(clip_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"source": source, "shape": np.array(footage.frames.shape[:3])}
    if absent("landmarks", judge) is None:
        content["landmarks"] = footage.look("landmarks", judge)[..., :2].astype(np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    clip = Clip(clip_id, "", footage.frames, footage.audio)
    write_clip_video(f"{path}.mp4", clip, landmarks=False, least_width=WIDTH)
    strip = np.concatenate(list(footage.frames[strip_indices(len(footage.frames))]), axis=1)
    write_atomically(Path(f"{path}.png"), png(strip))
    write_atomically(Path(f"{path}.npz"), file.getvalue())
