"""Score anyone's videos against a reference: two folders, clips matched by name, one pair at a time.

Held are the pair at hand, a record of numbers for each clip, and the features of 16 frames a clip for FID.
With a results folder (its layout is that of `results`) a clip that is there already is not scored again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from talkbench.data.clip import FPS, SAMPLES_PER_FRAME, Clip
from talkbench.evaluation.judges import FILE
from talkbench.evaluation.measure import FRAMES_PER_CLIP, Footage, absent, measure, set_features
from talkbench.evaluation.provenance import code_hash, device, digest, git_revision, packages
from talkbench.evaluation.results import (
    Summary,
    file_name,
    one_line,
    read_features,
    read_json,
    set_summary,
    summarise,
    write_features,
    write_json,
)
from talkbench.metrics.registry import METRICS, known, version
from talkbench.training.process import give_back_memory

LARGEST_DIFFERENCE = 5  # frames by which the lengths of a pair may differ
DEFAULT_METRICS = ("l1", "psnr", "ssim", "ms_ssim", "tde", "flicker_error")
LANDMARK_METRICS = (
    "lmd",
    "akd",
    "akd_euclidean",
    "mkr",
    "d_ll",
    "d_vl",
    "d_a",
    "d_l",
    "d_v",
    "d_rot",
    "d_pos",
    "lip_gap_r",
)
JUDGED_METRICS = ("lpips", "fid", "kid", "csim", "head_pose", "lse_c", "lse_d", "av_offset")


class ScoreError(ValueError):
    """Folders or clips that can't be compared; the message says what to change."""


@dataclass(frozen=True)
class FileJudge:
    """Stands for landmarks that were read from files beside the clips."""

    name: str = FILE
    hash: str = ""


FROM_FILES = {"landmarks": FileJudge()}


@dataclass
class Tally:
    """Scores of a set of clips.

    Attributes:
        metrics: keys asked for.
        judges: {kind: judge or `MissingJudge`}.
        clips: one record a clip: clip, identity, due, dropped, faceless, codec, resampled, metrics,
            unavailable, reference (sync scores of the real clip).
        failed: {clip: why}. only_generated, only_reference: clips without a partner.
        options: of metrics, as in a protocol.
        features: {clip: (real (n, d), fake (n, d))}, for the set-level metrics.
    """

    metrics: list[str]
    judges: dict = field(default_factory=lambda: dict(FROM_FILES))
    clips: list[dict] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    only_generated: list[str] = field(default_factory=list)
    only_reference: list[str] = field(default_factory=list)
    options: dict = field(default_factory=dict)
    features: dict = field(default_factory=dict)

    def add(self, record: dict) -> None:
        """Take in a record of `score`."""
        if "error" in record:
            self.failed[record["clip"]] = record["error"]
        else:
            self.clips.append(record)

    def summaries(self) -> tuple[dict[str, Summary], dict[str, str]]:
        """Each metric over the clips, and the reason for each that no clip has."""
        found, unavailable = {}, {}
        absent = 0
        if self.clips:
            typical = round(sum(r["due"] for r in self.clips) / len(self.clips))
            absent = typical * (len(self.failed) + len(self.only_reference))
        for key in self.metrics:
            if METRICS[key].level == "set":
                cell = self._set_summary(key)
                (unavailable if isinstance(cell, str) else found)[key] = cell
                continue
            rows = [r for r in self.clips if key in r["metrics"]]
            if not rows:
                reasons = [r["unavailable"].get(key) for r in self.clips]
                unavailable[key] = next((reason for reason in reasons if reason), "no clip was scored")
                continue
            lost = sum(r["due"] for r in self.clips if key not in r["metrics"])
            found[key] = summarise(
                [r["metrics"][key]["value"] for r in rows],
                [r["metrics"][key]["scored"] for r in rows],
                [r["due"] for r in rows],
                [r["identity"] for r in rows],
                missing_due=lost + absent,
            )
        return found, unavailable

    def _set_summary(self, key: str) -> Summary | str:
        speakers = {record["clip"]: record["identity"] for record in self.clips}
        names = [name for name in speakers if name in self.features]
        if not names:
            reasons = (r["unavailable"].get(key) for r in self.clips)
            return next((reason for reason in reasons if reason), "no clip was scored")
        real, fake = zip(*(self.features[name] for name in names))
        options = self.options.get(key, {})
        due = len(real[0]) * (len(self.clips) + len(self.failed) + len(self.only_reference))
        people = [speakers[name] for name in names]
        return set_summary(key, real, fake, people, due, options.get("allow_small", False))

    @property
    def broken(self) -> list[str]:
        """Why judges can't be loaded whose weight files are there: another network's, or damaged."""
        return [judge.missing for judge in self.judges.values() if getattr(judge, "broken", False)]

    def left_out(self) -> dict:
        """How many clips and frames have no part in the numbers, and why."""
        faceless = sum(record.get("faceless", 0) for record in self.clips)
        return {
            "clips": {
                "failed": len(self.failed),
                "without a reference": len(self.only_generated),
                "not generated": len(self.only_reference),
            },
            "frames": {
                "past the end of the shorter clip": sum(record["dropped"] for record in self.clips),
                "without a face, in landmark metrics": faceless,
            },
        }

    def resampled(self) -> dict[str, dict[str, str]]:
        """{"generated", "reference"}: {clip: its own frame rate}, of clips that were not at 25 frames/s."""
        found = {"generated": {}, "reference": {}}
        for record in self.clips:
            for side, rate in record.get("resampled", {}).items():
                found[side][record["clip"]] = rate
        return found

    def reference_sync(self) -> dict[str, float]:
        """Sync scores of the real clips by the same judge: a generated clip above them is not better."""
        cells = [record.get("reference", {}) for record in self.clips]
        keys = dict.fromkeys(key for cell in cells for key in cell)
        return {key: float(np.mean([cell[key] for cell in cells if key in cell])) for key in keys}

    @property
    def codec(self) -> str:
        """How the generated videos were coded, such as "h264": a lossy one costs score."""
        return "+".join(sorted({record["codec"] for record in self.clips}))

    def about(self) -> dict[str, dict]:
        """Name, unit, direction, judge and version of each metric; the version names the videos' codec."""
        described = {}
        for key in self.metrics:
            metric = METRICS[key]
            text = version(key, self.options.get(key))
            described[key] = {
                "name": metric.name,
                "unit": metric.unit,
                "better": metric.better,
                "judge": self.judges[metric.judge].name if metric.judge else None,
                "version": f"{text} codec={self.codec}" if self.codec else text,
            }
        return described


def tally(
    generated, reference, metrics=None, *, scales: int = 5, judges: dict | None = None, allow_small=False
) -> Tally:
    """Match two sources by clip name.

    Args:
        generated, reference: sources (`clip_ids`; `rejected` {path: reason}, where they know files they
            can't read).
        metrics: keys; None: pictures, landmarks, and whatever the judges look for.
        scales: of MS-SSIM.
        judges: {kind: judge or `MissingJudge`}; None: landmark files only.
        allow_small: FID of fewer than 2048 frames too.

    Raises:
        ScoreError: no common name, or a metric that this command can't measure.
    """
    judges = dict(FROM_FILES) if judges is None else judges
    if metrics is None:
        judged = [key for key in JUDGED_METRICS if METRICS[key].judge in judges]
        keys = [*DEFAULT_METRICS, *LANDMARK_METRICS, *judged]
    else:
        keys = known(metrics)
    impossible = [
        k for k in keys if METRICS[k].judge not in (None, *judges) or METRICS[k].needs == ("bytes",)
    ]
    if impossible:
        needs = ", ".join(f"{k} ({METRICS[k].judge or METRICS[k].needs[0]})" for k in impossible)
        raise ScoreError(f"not measured from folders alone: {needs}; leave it out of --metrics")
    made, real = set(generated.clip_ids), set(reference.clip_ids)
    if not made & real:
        raise ScoreError(
            f"no name is in both folders: generated has {_few(made)}, the reference {_few(real)}; "
            "clips are matched by file name without suffix"
        )
    failed = {}
    for side, source in (("the reference ", reference), ("", generated)):
        for path, reason in getattr(source, "rejected", {}).items():
            failed[Path(path).stem] = side + reason
    options = {} if scales == 5 else {"ms_ssim": {"scales": scales}}
    if allow_small:
        options |= {key: {"allow_small": True} for key in ("fid", "fid_infinity")}
    return Tally(
        list(dict.fromkeys(keys)),
        judges,
        failed=failed,
        only_generated=sorted(made - real - set(failed)),
        only_reference=sorted(real - made - set(failed)),
        options=options,
    )


def _few(names) -> str:
    names = sorted(names)
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


@dataclass(frozen=True)
class Settings:
    """How pairs are compared.

    Attributes:
        skip: leading frames that aren't scored; 1: frame 0 was the source picture, as in the protocols.
        largest_difference: refuse a pair whose lengths differ by more frames; the surplus at the end is
            dropped.
        size: side that the sources resize to, for the record; None: as they are.
    """

    skip: int = 1
    largest_difference: int = LARGEST_DIFFERENCE
    size: int | None = None


def score(
    total: Tally, generated, reference, settings: Settings = Settings(), folder: Path | None = None, name=""
) -> Iterator[dict]:
    """Score the common clips one by one.

    Args:
        total: of `tally`; the records are added to it as they come.
        generated, reference: sources with `read(clip_id) -> (Clip, {"video_codec": ...})`, and `content`
            (what a clip depends on) where there is a folder.
        folder: results folder: records are kept there, and a clip that is there with the same files, metrics,
            judges and code is not scored again.
        name: of the row in that folder.

    Yields:
        A record a clip, with "error" where it failed; the others go on.
    """
    made = set(generated.clip_ids)
    common = [clip_id for clip_id in reference.clip_ids if clip_id in made]
    key = None if folder is None else _begin(total, settings, folder, name, common)
    for clip_id in common:
        kept, files = None, {}
        if folder is not None:
            path = Path(folder) / "clips" / f"{file_name(clip_id)}.json"
            sides = {"generated": generated, "reference": reference}
            files = {side: digest(source.content(clip_id)) for side, source in sides.items()}
            kept = _kept(path, key, files)
        if kept is not None:
            record, features = kept
        else:
            try:
                record, features = _score_clip(
                    total, *reference.read(clip_id), *generated.read(clip_id), settings
                )
            except Exception as error:  # whatever a decoder throws is this clip's fault, not the run's
                record, features = {"clip": clip_id, "error": one_line(error)}, None
            give_back_memory()
            if folder is not None:
                if features is not None:
                    write_features(path.with_suffix(".npz"), *features)
                extra = {"method": name, "provenance_hash": key, "files": files}
                write_json(path, record | extra | {"features": features is not None})
        total.add(record)
        if features is not None:
            total.features[clip_id] = features
        yield record


def _begin(total: Tally, settings: Settings, folder: Path, name: str, common: list[str]) -> str:
    """Write row.json; the hash of all that scores depend on besides the clips' files."""
    judges = {kind: judge for kind, judge in total.judges.items() if judge is not None}
    record = {
        "settings": settings.__dict__,
        "metrics": {key: version(key, total.options.get(key)) for key in total.metrics},
        "judges": {kind: {"name": judge.name, "hash": judge.hash} for kind, judge in judges.items()},
        "code": code_hash(),
        "packages": packages(),
        "device": device(),
    }
    key = digest(record)
    about = {"method": name, "kind": "external", "task": "reconstruction", "driven_by": [], "due": common}
    about |= {"provenance_hash": key, "provenance": record | {"git": git_revision()}}
    write_json(Path(folder) / "row.json", about)
    return key


_BOOKKEEPING = ("method", "provenance_hash", "files", "features")  # of a record's file, not of its scores


def _kept(path: Path, key: str, files: dict) -> tuple[dict, tuple | None] | None:
    """A record, and its features, that an earlier run left; None where it must be scored anew."""
    if not path.exists():
        return None
    try:
        record = read_json(path)
        if record.get("provenance_hash") != key or record.get("files") != files or "error" in record:
            return None
        features = read_features(path.with_suffix(".npz")) if record["features"] else None
        return {name: value for name, value in record.items() if name not in _BOOKKEEPING}, features
    except (ValueError, OSError, AttributeError, KeyError):
        return None  # torn: scored anew


def _score_clip(total: Tally, real: Clip, real_meta: dict, fake: Clip, meta: dict, settings: Settings):
    """(record, (features of the real side, of the generated) or None)."""
    skip, count = settings.skip, min(real.num_frames, fake.num_frames)
    dropped = max(real.num_frames, fake.num_frames) - count
    if dropped > settings.largest_difference:
        raise ScoreError(
            f"{fake.num_frames} generated frames for {real.num_frames} real ones; "
            "--allow-length-difference N permits more"
        )
    if real.frames.shape[1:] != fake.frames.shape[1:]:
        sizes = [f"{clip.frames.shape[2]}x{clip.frames.shape[1]}" for clip in (fake, real)]
        raise ScoreError(f"generated at {sizes[0]}, the reference is {sizes[1]}; --size N resizes both")
    if count <= skip:
        raise ScoreError(f"{count} frames, {skip} of them skipped: none is left to score")
    judges, why = dict(total.judges), None
    if judges.get("landmarks") and judges["landmarks"].name == FILE:
        if real.landmarks is None or fake.landmarks is None:
            why = "there is no NAME.landmarks.npz beside both videos"
        elif real.landmark_source != fake.landmark_source:
            why = f"landmarks of {fake.landmark_source} and {real.landmark_source} can't be compared"
        if why:
            judges["landmarks"] = None
    from_file = judges.get("landmarks") is not None and judges["landmarks"].name == FILE
    sides = [_footage(*side, skip, count, from_file) for side in ((real, real_meta), (fake, meta))]
    scores = measure(total.metrics, *sides, judges, total.options)
    reasons = {key: s.reason for key, s in scores.items() if s.value is None}
    if why:
        reasons |= {key: why for key in reasons if METRICS[key].judge == "landmarks"}
    features = None
    sets = [key for key in total.metrics if METRICS[key].level == "set"]
    if sets and (lacking := absent("features", judges.get("features"))):
        reasons |= dict.fromkeys(sets, lacking)
    elif sets:
        features = set_features(*sides, judges["features"], FRAMES_PER_CLIP)
    sync = [key for key in scores if METRICS[key].judge == "sync" and scores[key].value is not None]
    own = measure(sync, sides[0], sides[0], judges) if sync else {}
    record = {
        "clip": fake.clip_id,
        "identity": real.identity,
        "due": count - skip,
        "dropped": dropped,
        "faceless": max((s.due - s.scored for s in scores.values() if s.value is not None), default=0),
        "codec": meta.get("video_codec") or "unknown",
        "resampled": {
            side: rate
            for side, about in (("generated", meta), ("reference", real_meta))
            if (rate := _own_rate(about))
        },
        "metrics": {
            key: {"value": s.value, "scored": s.scored} for key, s in scores.items() if s.value is not None
        },
        "unavailable": reasons,
        "reference": {key: s.value for key, s in own.items() if s.value is not None},
    }
    return record, features


def _own_rate(meta: dict) -> str | None:
    """A file's own frame rate, where its frames had to be chosen by their time stamps."""
    rate, uneven = meta.get("fps", FPS), "vfr" in meta.get("flags", ())
    if not uneven and abs(rate - FPS) < 0.01:
        return None
    return f"{rate:.4g}" + (", uneven" if uneven else "")


def _footage(clip: Clip, meta: dict, skip: int, count: int, with_landmarks: bool) -> Footage:
    seen = {}
    if with_landmarks:
        points = np.array(clip.landmarks, np.float64)
        points[meta.get("landmarks_interpolated", [])] = np.nan  # no face was seen there
        seen = {"landmarks": points[skip:count]}
    return Footage(
        clip.frames[skip:count], clip.audio[skip * SAMPLES_PER_FRAME : count * SAMPLES_PER_FRAME], seen
    )
