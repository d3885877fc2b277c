"""Why a file or a stretch of one is refused, and what is only noted. The first failing reason in this order wins."""

import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.prepare.segments import Dropped
from talkbench.data.prepare.settings import Settings

REASONS = (
    "unreadable",
    "no_video",
    "no_audio",
    "truncated",
    "crashed_worker",
    "too_short",
    "audio_short",
    "silent_audio",
    "bad_landmarks",
    "no_face",
    "several_faces",
    "small_face",
    "wrong_box",
    "out_of_frame",
    "frozen",
    "shot_cut_in_segment",
    "out_of_sync",
)


def worst(dropped: list[Dropped]) -> Dropped:
    """Of several reasons the first in the order of `REASONS`."""
    return min(dropped, key=lambda drop: REASONS.index(drop.reason))


def check_length(frames: int, settings: Settings) -> None:
    """Dropped("too_short") below `min_frames`."""
    if frames < settings.min_frames:
        raise Dropped(
            "too_short", f"{frames} frames at 25 frames/s, at least {settings.min_frames} are wanted"
        )


def check_audio(audio: np.ndarray, covered: int, settings: Settings) -> None:
    """Sound of a stretch.

    Args:
        audio: float32 (640 T,). covered: samples of it that the source has sound for.

    Raises:
        Dropped: audio_short or silent_audio.
    """
    if settings.allow_silent:
        return
    if covered < settings.least_audio * len(audio):
        raise Dropped("audio_short", f"sound covers {100 * covered / len(audio):.0f} % of the clip")
    rms = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    if rms < settings.silent_rms:
        raise Dropped("silent_audio", f"RMS {rms:.1e}")
    windows = np.sqrt(np.mean(np.square(audio.reshape(-1, SAMPLES_PER_FRAME), dtype=np.float64), 1))
    quiet = float(np.mean(windows < 10 ** (settings.silent_window_db / 20)))
    if quiet > settings.silent_share:
        raise Dropped(
            "silent_audio", f"{100 * quiet:.0f} % of it is below {settings.silent_window_db:.0f} dB"
        )


def audio_flags(audio: np.ndarray, settings: Settings) -> list[str]:
    """["clipped_audio"] where too many samples are at full scale."""
    return ["clipped_audio"] if np.mean(np.abs(audio) >= 0.999) > settings.clipped_share else []


def check_faces(seen: list[np.ndarray], least: float, settings: Settings) -> None:
    """Faces of a stretch.

    Args:
        seen: boxes (n, 4), largest first, of each frame that was looked at. least: share of them with a face.

    Raises:
        Dropped: no_face, several_faces.
    """
    share = float(np.mean([len(boxes) > 0 for boxes in seen])) if seen else 0.0
    if share < least:
        raise Dropped("no_face", f"a face in {100 * share:.0f} % of {len(seen)} frames that were looked at")
    second = 0
    for boxes in seen:
        areas = sorted(((b[2] - b[0]) * (b[3] - b[1]) for b in boxes), reverse=True)
        second += len(areas) > 1 and areas[1] > settings.second_area * areas[0]
    if second > settings.second_share * len(seen):
        raise Dropped("several_faces", f"another face of like size in {second} of {len(seen)} frames")


def check_still(equal: np.ndarray, settings: Settings) -> None:
    """Dropped("frozen") where too many frames equal the one before: `equal` bool (T,)."""
    share = float(np.mean(equal[1:])) if len(equal) > 1 else 0.0
    if share > settings.frozen_share:
        raise Dropped("frozen", f"{100 * share:.0f} % of the frames equal the one before")


def grey_edge(frame: np.ndarray) -> int:
    """How many rows or columns at an edge are the grey (110) that official crops are filled with where they leave the frame."""
    most = 0
    for lines in (frame, frame[::-1], frame.swapaxes(0, 1), frame.swapaxes(0, 1)[::-1]):
        count = 0
        for line in lines[: len(lines) // 2]:
            if np.abs(line.mean(0) - 110).max() > 3 or line.std(0).max() > 3:
                break
            count += 1
        most = max(most, count)
    return most
