"""One unit from its file to its mark: what a worker process does."""

import time
from collections.abc import Callable

import cv2
import numpy as np

from talkbench import __version__
from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.media import MediaError, VideoReader
from talkbench.data.prepare import checks, faces, lips
from talkbench.data.prepare.mesh import MeshError
from talkbench.data.prepare.segments import Dropped, Segment
from talkbench.data.prepare.selection import select
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.survey import Survey, survey
from talkbench.data.prepare.units import Take, Unit
from talkbench.data.prepare.workplace import STARTS, FramesFile, Workplace, sha256_of
from talkbench.data.store import encode_frame
from talkbench.data.view import encode_audio

_BLUR_EVERY = 5


def work(
    unit: Unit,
    settings: Settings,
    place: Workplace,
    open_backend: Callable = faces.open_backend,
    told: Callable[[str], None] = lambda key: None,
    most_starts: int = STARTS,
) -> dict:
    """Works on a unit unless it is finished; returns its row.

    Args:
        open_backend: makes the landmark back end and the sync judge; called only when there is work.
        told: is told the unit's key before the work begins.
        most_starts: a unit that was begun so often and never ended is refused.

    Returns:
        {"key", "path", "sha256", "verdict": "accepted" or "quarantined", "reason", "detail", "stage", "tries", "clips":
        [{"clip_id", "frames", ...}], "dropped": [{"clip_id", "reason", "detail"}], ...}, and for new work "seconds" of each
        pass, which the mark does not keep.
    """
    key = unit.key(settings)
    told(key)
    done = place.row(key)
    if done is not None:
        return done
    begun = place.begin(key)
    row = {"key": key, "path": unit.name, "sha256": sha256_of(unit.path), "version": __version__}
    if begun >= most_starts:
        return refuse(place, row, "crashed_worker", f"begun {begun} times and never ended", "survey", begun)
    backend, judge = (
        open_backend(call) if call else None for call in (settings.backend, settings.sync_backend)
    )
    started, surveyed, stage = time.perf_counter(), None, "survey"
    try:
        seen = survey(unit, settings, backend)
        surveyed = time.perf_counter()
        segments, refused = select(unit, seen, settings)
        if not segments:
            raise checks.worst([drop for _, drop in refused])
        stage = "cut"
        clips = _cut(unit, seen, segments, settings, place, key)
        stage = "sync"
        apart = lips.judge_clips(clips, judge, settings, place, key) if judge else []
        if not clips:
            raise checks.worst([drop for _, drop in apart])
    except (MediaError, Dropped) as error:
        detail = error.text if isinstance(error, MediaError) else error.detail
        return refuse(place, row, error.reason, detail, stage, begun + 1)
    except (OSError, MemoryError, MeshError):
        raise  # a full disk is no fault of the file
    except Exception as error:  # what nobody thought of costs one file, and its name is kept
        text = f"{type(error).__name__}: {error}"
        return refuse(place, row, "crashed_worker", text, stage, begun + 1)
    row |= {
        "verdict": "accepted", "reason": None, "detail": None, "stage": None, "tries": begun + 1,
        "clips": [_short(clip) for clip in clips],
        "dropped": [
            {"clip_id": name, "reason": drop.reason, "detail": drop.detail}
            for name, drop in [(t.clip_id, d) for t, d in refused] + [(c["clip_id"], d) for c, d in apart]
        ],
    }  # fmt: skip
    place.finish(key, row, clips)
    ended = time.perf_counter()
    return row | {"seconds": {"survey": surveyed - started, "cut": ended - surveyed}, "surveyed": seen.frames}


def refuse(place: Workplace, row: dict, reason: str, detail: str, stage: str, tries: int) -> dict:
    """Marks a unit as quarantined."""
    row = row | {
        "verdict": "quarantined", "reason": reason, "detail": detail, "stage": stage, "tries": tries, "clips": [],
        "dropped": [],
    }  # fmt: skip
    place.finish(row["key"], row)
    return row


def _short(clip: dict) -> dict:
    return {
        "clip_id": clip["clip_id"], "identity": clip["identity"], "split": clip["split"], "frames": len(clip["places"]),
        "tag": clip["meta"]["crop"]["tag"], "flags": clip["meta"]["flags"],
    }  # fmt: skip


def _cut(
    unit: Unit, seen: Survey, segments: list[Segment], settings: Settings, place: Workplace, key: str
) -> list[dict]:
    """Second pass: crops, resizes and encodes the pictures of all segments; returns the clips' records."""
    places: list[list[tuple[int, int]]] = [[] for _ in segments]
    blur: list[list[float]] = [[] for _ in segments]
    last = max(segment.end for segment in segments)
    file, whole = FramesFile(place.path(key, "frames")), False
    try:
        with VideoReader(unit.path) as reader:
            for number, frame in enumerate(reader):
                if number >= last:
                    break
                for which, segment in enumerate(segments):
                    if segment.first <= number < segment.end:
                        picture = cropped(frame, segment.box, settings.size)
                        if len(places[which]) % _BLUR_EVERY == 0:
                            grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
                            blur[which].append(float(cv2.Laplacian(grey, cv2.CV_64F).var()))
                        data = encode_frame(picture, settings.codec, settings.quality)
                        places[which].append(file.add(data))
        if any(len(found) != segment.frames for found, segment in zip(places, segments)):
            raise Dropped("truncated", "the second reading gave fewer frames than the first")
        whole = True
    finally:
        file.close(whole)
    takes = {take.clip_id: take for take in unit.takes}
    return [
        _record(unit, takes, seen, segment, settings, found, float(np.mean(sharp)))
        for segment, found, sharp in zip(segments, places, blur)
    ]


def cropped(frame: np.ndarray, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    """uint8 (size, size, 3): the box, area-averaged (linear where enlarged); a box that is no square is squeezed into one."""
    left, top, right, bottom = box
    part = frame[top:bottom, left:right]
    if part.shape[:2] == (size, size):
        return np.ascontiguousarray(part)
    shrinks = min(part.shape[:2]) > size
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _record(
    unit: Unit,
    takes: dict[str, Take],
    seen: Survey,
    segment: Segment,
    settings: Settings,
    places: list,
    blur: float,
) -> dict:
    take = takes.get(segment.clip_id) or takes[segment.clip_id.rsplit("#", 1)[0]]
    frames = slice(segment.first, segment.end)
    left, top, right, bottom = segment.box
    points = detected = None
    if seen.points is not None:
        scale = np.array([settings.size / (right - left), settings.size / (bottom - top)], np.float32)
        points = seen.points[frames].copy()
        points[..., :2] = (points[..., :2] - (left, top)) * scale
        points[..., 2] *= scale.mean()
        points = np.ascontiguousarray(points, "<f4").tobytes()
        detected = seen.detected[frames].tobytes()
    samples = slice(segment.first * SAMPLES_PER_FRAME, segment.end * SAMPLES_PER_FRAME)
    info = seen.info.as_dict()
    info["path"] = unit.name
    return {
        "clip_id": segment.clip_id,
        "identity": take.identity,
        "split": take.split,
        "size": [settings.size, settings.size],
        "places": places,
        "audio": encode_audio(seen.audio[samples]).tobytes(),
        "landmarks": points,
        "detected": detected,
        "landmark_source": seen.maker if points is not None else None,
        "meta": {
            "source": info,
            "video": take.video,
            "first_frame": segment.first,
            "crop": {"tag": segment.tag, "box": list(segment.box), "face_side": segment.face_side},
            "faces": seen.maker,
            "has_audio": seen.has_audio,
            "flags": segment.flags,
            "blur": blur,
            "sync": None,
        },
    }
