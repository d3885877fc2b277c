"""Scores of one clip: real frames, generated frames and what judges see in them -> a value for each metric.

A judge is any object with `name`, `hash` and the method of its kind:

| kind | method | gives |
|---|---|---|
| landmarks | landmarks(frames uint8 (T,H,W,3)) | (T, 68, 2) pixels, NaN where a frame has no face; or None |
| features | features(frames) | (T, d), for FID and KID |
| sync | sync(frames, audio float32 (640 T,)) | video (W, d) and audio (W, d), window i from frame i |
| lpips | distance(real, fake) | (T,) |
| identity | embed(frames) | (T, d), NaN where a frame has no face |
| pose | pose(frames) | (T, 3) yaw, pitch, roll in degrees, NaN where a frame has no face |

A judge with `whole_pictures = True` knows faces in whole pictures only: where frames are nearer (`Footage.border`), it is
shown them with a border. A metric whose judge is missing has no value but a reason.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from talkbench.evaluators import optical_flow
from talkbench.geometry.head import mean_face
from talkbench.geometry.topology import OUTER_MOUTH
from talkbench.metrics import compression, cpbd, embedding, image, landmark, sync, temporal
from talkbench.metrics.registry import METRICS

FRAMES_PER_CLIP = 16  # of a clip that enter a set-level metric, evenly spaced
CPBD_SIZE = 256
SILENT = 1e-4  # of full scale: sound that nowhere exceeds this is none


@dataclass(frozen=True)
class MissingJudge:
    """Stands where a judge isn't at hand.

    Attributes:
        name: of the judge.
        missing: why, and what to run.
        broken: there is a file, but not of this network.
    """

    name: str
    missing: str
    broken: bool = False
    hash: str | None = None


def absent(kind: str, judge) -> str | None:
    """Why there is no judge of this kind; None where there is one."""
    return f"no {kind} judge" if judge is None else getattr(judge, "missing", None)


@dataclass(frozen=True)
class Score:
    """One metric of one clip: the value (None: there is none, `reason` says why), frames scored and due."""

    value: float | None
    scored: int
    due: int
    reason: str | None = None


@dataclass
class Footage:
    """Frames uint8 (T, H, W, 3) and sound float32 (640 T,), and what judges saw in them (each looks once).

    `border`: of close-ups, the share of the side by which they are widened on every side, by repeating their outermost
    pixels, for judges of whole pictures.
    """

    frames: np.ndarray
    audio: np.ndarray | None = None
    seen: dict = field(default_factory=dict)
    border: float = 0.0

    def look(self, kind: str, judge) -> np.ndarray:
        """What the judge of this kind sees; (T, ...) with NaN rows for frames without a face."""
        if kind not in self.seen:
            wide, width = self.as_shown_to(judge)
            found = _LOOKS[kind](replace(self, frames=wide), judge)
            self.seen[kind] = found - width if kind == "landmarks" else found
        return self.seen[kind]

    def as_shown_to(self, judge) -> tuple[np.ndarray, int]:
        """The frames as that judge should see them, and the width of the border that they have got, in pixels."""
        width = (
            round(self.border * max(self.frames.shape[1:3])) if getattr(judge, "whole_pictures", False) else 0
        )
        if not width:
            return self.frames, 0
        sides = (width,) * 4
        return np.stack([cv2.copyMakeBorder(f, *sides, cv2.BORDER_REPLICATE) for f in self.frames]), width


def _landmarks(footage, judge):
    points = judge.landmarks(footage.frames)
    count = len(footage.frames)
    if points is None:
        return np.full((count, 68, 2), np.nan)
    if isinstance(points, (list, tuple)):  # a frame's entry may be None
        points = [np.full((68, 2), np.nan) if p is None else p for p in points]
    points = np.asarray(points, np.float64)
    if points.shape[:2] != (count, 68) or points.shape[2] not in (2, 3):
        raise ValueError(f"judge {judge.name} gave landmarks {points.shape} for {count} frames")
    return points


def _rows(call):
    def look(footage, judge):
        rows = np.asarray(getattr(judge, call)(footage.frames), np.float64)
        if len(rows) != len(footage.frames):
            raise ValueError(f"judge {judge.name} gave {len(rows)} rows for {len(footage.frames)} frames")
        return rows

    return look


def _sync(footage, judge):
    if footage.audio is None:
        raise ValueError("the clip has no sound")
    return judge.sync(footage.frames, footage.audio)


_LOOKS = {
    "landmarks": _landmarks,
    "identity": _rows("embed"),
    "pose": _rows("pose"),
    "sync": _sync,
}


def evenly_spaced(count: int, wanted: int = FRAMES_PER_CLIP) -> np.ndarray:
    """Indices of at most `wanted` of `count` frames, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int))


# ------------------------------------------------------------------------------------------- pictures

_BATCHED = ("l1", "psnr", "ssim", "ms_ssim")
_PER_FRAME = {
    "l1_255": image.l1_255,
    "psnr_luma": image.psnr_luma,
    "psnr_atvgnet": image.psnr_atvgnet,
}
_OVER_TIME = {
    "tde": temporal.tde,
    "flicker_error": temporal.flicker_error,
    "warping_error_dis": lambda real, fake: _followed(
        temporal.warping_error(fake, *optical_flow.dis_flow(real))
    ),
}
_SSIM = {
    "ssim_luma": "gaussian_luma",
    "ssim_uniform7": "uniform7_rgb",
    "ssim_uniform7_luma": "uniform7_luma",
    "ssim_torchmetrics": "torchmetrics",
    "ssim_pytorch": "pytorch_ssim_zero_pad",
}


def _followed(errors: np.ndarray) -> float:
    """Mean over the pairs of frames in which some pixel could be followed; NaN without any."""
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else float("nan")


def _pictures(keys, real, fake, options) -> dict[str, Score]:
    image.check_pair(real, fake)
    count, (height, width) = len(real), real.shape[1:3]
    scores, wanted = {}, [key for key in keys if key in _BATCHED]
    scales = options.get("ms_ssim", {}).get("scales", 5)
    needed = {"ssim": image.WINDOW, "ms_ssim": image.ms_ssim_smallest(scales)}
    for key in [key for key in wanted if min(height, width) < needed.get(key, 0)]:
        wanted.remove(key)
        scores[key] = Score(None, 0, count, f"picture smaller than {needed[key]} px")
    if wanted:
        from talkbench.metrics import batched

        for key, values in batched.score(real, fake, wanted, scales=scales).items():
            scores[key] = Score(float(values.mean()), count, count)
    for key in keys:
        if key in _PER_FRAME:
            scores[key] = Score(float(_PER_FRAME[key](real, fake).mean()), count, count)
        elif key in _SSIM:
            if min(height, width) < image.WINDOW:
                scores[key] = Score(None, 0, count, f"picture smaller than {image.WINDOW} px")
            else:
                values = image.ssim(real, fake, data_range=255, variant=_SSIM[key])
                scores[key] = Score(float(values.mean()), count, count)
        elif key == "psnr_pooled":
            scores[key] = Score(image.psnr_pooled(real, fake), count, count)
        elif key in _OVER_TIME:
            if count < 2:
                scores[key] = Score(None, 0, count, "fewer than 2 frames")
            elif key.startswith("warping") and min(height, width) < optical_flow.SMALLEST:
                scores[key] = Score(None, 0, count, f"picture smaller than {optical_flow.SMALLEST} px")
            else:
                scores[key] = Score(_OVER_TIME[key](real, fake), count, count)
        elif key in ("cpbd", "cpbd_atvgnet"):
            if (height, width) != (CPBD_SIZE, CPBD_SIZE):
                reason = (
                    f"CPBD depends on the resolution and is defined at {CPBD_SIZE} px, not {width}x{height}"
                )
                scores[key] = Score(None, 0, count, reason)
            else:
                sharpness = getattr(cpbd, key)
                scores[key] = Score(float(np.mean([sharpness(y) for y in image.luma(fake)])), count, count)
    return scores


# ------------------------------------------------------------------------------------------- landmarks


def _faces(keys, real, fake, size) -> dict[str, Score]:
    """Landmark metrics of tracks (T, 68, 2 or 3); frames where either side lacks a point are not scored."""
    count = len(real)
    found_real, found_fake = np.isfinite(real).all(-1), np.isfinite(fake).all(-1)
    both = found_real.all(1) & found_fake.all(1)
    scored = int(both.sum())
    scores = {}
    if "mkr" in keys:
        due = int(found_real.any(1).sum())
        rate = landmark.mkr(found_real, found_fake)
        scores["mkr"] = (
            Score(rate, due, count) if due else Score(None, 0, count, "no face in the real frames")
        )
    others = [key for key in keys if key != "mkr"]
    if scored == 0:
        reason = "no frame with a face on both sides"
        return scores | {key: Score(None, 0, count, reason) for key in others}
    steps = (both[1:] & both[:-1])[np.flatnonzero(both)[:-1]]  # of the scored frames, those adjacent in time
    p, q = real[both][..., :2], fake[both][..., :2]
    pixels = 256 / size
    formulas = {
        "lmd": lambda: landmark.lmd(p, q, size=size),
        "lmd_mouth_raw": lambda: landmark.mouth_raw(p, q) * pixels,
        "d_ll": lambda: landmark.d_ll(p, q),
        "d_vl": lambda: landmark.d_vl(p, q, steps),
        "d_a": lambda: landmark.d_a(p, q),
        "d_a_outer": lambda: landmark.d_a(p, q, OUTER_MOUTH),
        "d_l": lambda: landmark.d_l(p, q),
        "d_v": lambda: landmark.d_v(p, q, steps),
        "d_rot": lambda: landmark.d_rot(p, q, mean_face()),
        "d_pos": lambda: landmark.d_pos(p, q),
        "akd": lambda: landmark.akd(p, q) * pixels,
        "akd_euclidean": lambda: landmark.akd_euclidean(p, q) * pixels,
        "lip_gap_r": lambda: landmark.lip_gap_r(p, q),
    }
    for key in others:
        if key in ("d_vl", "d_v") and not steps.any():
            scores[key] = Score(None, 0, count, "no two adjacent frames with a face on both sides")
            continue
        if key == "lip_gap_r" and scored < 3:
            scores[key] = Score(None, scored, count, "fewer than 3 frames with a face on both sides")
            continue
        value = formulas[key]()
        if np.isfinite(value):
            scores[key] = Score(value, scored, count)
        else:
            scores[key] = Score(
                None, 0, count, "undefined: the real mouth never opens" if key == "d_a" else "undefined"
            )
    return scores


# ---------------------------------------------------------------------------------------------- judges


def _rows_both(real, fake):
    return np.isfinite(real).all(1) & np.isfinite(fake).all(1)


def _identity(keys, real: Footage, fake: Footage, source: Footage | None, judge) -> dict[str, Score]:
    made, scores = fake.look("identity", judge), {}
    count = len(made)
    for key in keys:
        if key == "csim_source" and source is None:
            scores[key] = Score(None, 0, count, "no source picture is known")
            continue
        side = source if key == "csim_source" else real
        other = np.broadcast_to(side.look("identity", judge), made.shape)
        both = _rows_both(other, made)
        if not both.any():
            scores[key] = Score(None, 0, count, "no frame with a face on both sides")
            continue
        formula = embedding.aed if key == "aed" else embedding.csim
        scores[key] = Score(formula(other[both], made[both]), int(both.sum()), count)
    return scores


def _pose(keys, real, fake) -> dict[str, Score]:
    both, count = _rows_both(real, fake), len(real)
    if not both.any():
        return {key: Score(None, 0, count, "no frame with a face on both sides") for key in keys}
    error = float(np.abs(real[both] - fake[both]).mean())
    return {key: Score(error, int(both.sum()), count) for key in keys}


def _synchrony(keys, footage, judge) -> dict[str, Score]:
    count = len(footage.frames)
    if footage.audio is None or not len(footage.audio) or np.abs(footage.audio).max() < SILENT:
        return {key: Score(None, 0, count, "no sound, or a silent one") for key in keys}
    video, audio = footage.look("sync", judge)
    if len(video) < sync.SMALLEST_WINDOWS:
        reason = f"{len(video)} windows; {sync.SMALLEST_WINDOWS} are needed"
        return {key: Score(None, 0, count, reason) for key in keys}
    found = sync.search(video, audio)
    values = {"lse_c": found.lse_c, "lse_d": found.lse_d, "av_offset": float(abs(found.offset))}
    return {key: Score(values[key], count, count) for key in keys}


def measure(
    keys,
    real: Footage,
    fake: Footage,
    judges: dict,
    options: dict | None = None,
    sent_bytes: int | None = None,
    source: Footage | None = None,
) -> dict[str, Score]:
    """All metrics but the set-level ones of one clip.

    Args:
        keys: metric keys; set-level ones are passed over (`results.aggregate` has them, from `set_features`).
        real, fake: the same frames on both sides, the source frame left out of both.
        judges: {kind: judge, `MissingJudge` or None}.
        options: {key: {option: value}} of the protocol, such as {"ms_ssim": {"scales": 3}}.
        sent_bytes: what was transmitted for this clip, for bpp and kbps.
        source: the source picture, one frame, for csim_source.

    Returns:
        {key: Score}, one for every key.

    Raises:
        ValueError: the two sides don't fit together, or a judge gave something of the wrong shape.
    """
    options = options or {}
    keys = [key for key in keys if METRICS[key].level != "set"]
    if real.frames.shape != fake.frames.shape:
        raise ValueError(
            f"generated frames {fake.frames.shape} don't fit the real ones {real.frames.shape}; "
            "generate as many frames as the driving clip has, at its size"
        )
    count, size = len(real.frames), max(real.frames.shape[1:3])
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(METRICS[key].judge or METRICS[key].needs[0], []).append(key)
    scores = {}
    for group, members in groups.items():
        judge = judges.get(group)
        if group == "frames":
            found = _pictures(members, real.frames, fake.frames, options)
        elif group == "bytes":
            if sent_bytes is None:
                found = {key: Score(None, 0, count, "nothing is transmitted in this task") for key in members}
            else:
                _, height, width, _ = real.frames.shape
                values = {
                    "bpp": compression.bits_per_pixel(sent_bytes, count, height, width),
                    "kbps": compression.kilobits_per_second(sent_bytes, count, 25),
                }
                found = {key: Score(values[key], count, count) for key in members}
        elif why := absent(group, judge):
            found = dict.fromkeys(members, Score(None, 0, count, why))
        elif group == "landmarks":
            found = _faces(members, real.look(group, judge), fake.look(group, judge), size)
        elif group == "identity":
            found = _identity(members, real, fake, source, judge)
        elif group == "pose":
            found = _pose(members, real.look(group, judge), fake.look(group, judge))
        elif group == "sync":
            found = _synchrony(members, fake, judge)
        elif group == "lpips":
            sides = (side.as_shown_to(judge)[0] for side in (real, fake))
            distance = np.asarray(judge.distance(*sides), np.float64)
            found = {key: Score(float(distance.mean()), count, count) for key in members}
        else:
            raise ValueError(f"no way to measure {', '.join(members)}")
        scores |= found
    for key, score in scores.items():
        if score.value is not None and not np.isfinite(score.value):
            scores[key] = Score(None, 0, score.due, "not a finite number")
    return {key: scores[key] for key in keys}


def set_features(real: Footage, fake: Footage, judge, frames_per_clip: int = FRAMES_PER_CLIP):
    """Features of evenly spaced frames for the set-level metrics: (real (n, d), fake (n, d)) float32."""
    chosen = evenly_spaced(len(real.frames), frames_per_clip)
    look = lambda side: np.asarray(judge.features(side.as_shown_to(judge)[0][chosen]), np.float32)  # noqa: E731
    if "features" not in real.seen:
        real.seen["features"] = look(real)
    return real.seen["features"], look(fake)
