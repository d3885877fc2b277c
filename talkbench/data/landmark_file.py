"""`NAME.landmarks.npz`: landmarks that lie beside a video."""

from pathlib import Path

import numpy as np

SUFFIX = ".landmarks.npz"


class LandmarkFileError(ValueError):
    """A landmark file that cannot be used; names it and the remedy."""


def landmark_path(video: Path) -> Path:
    """Where a video's landmark file would be."""
    return video.with_name(video.stem + SUFFIX)


def read_landmarks(path: Path, frames: int) -> tuple[np.ndarray, np.ndarray, str]:
    """A file's landmarks in `Clip`'s convention.

    Args:
        path: .npz with `landmarks` (T, 68, 2 or 3) in pixels whose centres are integers, z away from the viewer; perhaps
            `detected` (T,) and `source`, the name of what made them.
        frames: of the video at 25 frames/s, T.

    Returns:
        float32 (T, 68, 3) with frames without a face interpolated, bool (T,) where a face was found, "file:SOURCE".

    Raises:
        LandmarkFileError: damaged, of another shape or length, or no face in any frame.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except Exception as error:  # numpy raises many kinds for a damaged archive
        raise LandmarkFileError(
            f"{path.name}: cannot be read as landmarks ({error}); make it again or remove it"
        ) from error
    points = arrays.get("landmarks")
    if points is None or points.ndim != 3 or points.shape[1:] not in ((68, 2), (68, 3)):
        shape = "none" if points is None else points.shape
        raise LandmarkFileError(f"{path.name}: `landmarks` must be (T, 68, 2 or 3), not {shape}")
    if len(points) != frames:
        raise LandmarkFileError(
            f"{path.name}: {len(points)} rows of landmarks for {frames} frames at 25 frames/s"
        )
    there = np.asarray(arrays.get("detected", np.ones(frames, bool)), bool)
    there = there & np.isfinite(points).all((1, 2))
    if there.shape != (frames,) or not there.any():
        raise LandmarkFileError(
            f"{path.name}: no face was detected in any frame; remove the file to go without landmarks"
        )
    landmarks = np.zeros((frames, 68, 3), np.float32)
    landmarks[..., : points.shape[2]] = points
    landmarks[..., :2] += 0.5
    landmarks[..., 2] *= -1
    return fill(landmarks, there), there, f"file:{arrays.get('source', 'landmarks.npz')}"


def fill(points: np.ndarray, there: np.ndarray) -> np.ndarray:
    """float32 (T, 68, D) with the frames that are not `there` (T,) interpolated from those that are."""
    if there.all():
        return points
    known, out = np.flatnonzero(there), points.copy()
    for place in np.ndindex(points.shape[1:]):
        out[(slice(None), *place)] = np.interp(np.arange(len(points)), known, points[(known, *place)])
    return out
