"""Evaluate candidates on a protocol, clip by clip: generate, encode, judge, measure, one file a clip.

Nothing is held but the clip at hand. A clip whose file has the same provenance hash is passed over, so an
interrupted run goes on where it stopped. A clip that fails is written down with its reason, and the rest
goes on.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME, Clip, ClipError
from talkbench.evaluation import gallery
from talkbench.evaluation.candidate import Candidate, allowed
from talkbench.evaluation.measure import (
    FRAMES_PER_CLIP,
    Footage,
    absent,
    measure,
    set_features,
)
from talkbench.evaluation.protocol import Protocol
from talkbench.evaluation.provenance import provenance, provenance_hash
from talkbench.evaluation.results import (
    file_name,
    one_line,
    read_json,
    row_folder,
    write_features,
    write_json,
)
from talkbench.evaluation.selection import Selection, crossed, select
from talkbench.metrics.registry import METRICS
from talkbench.training.process import give_back_memory

# What still means something where no real frames of that person in that motion exist: how the driver is followed, whose
# face it is, how real the set looks.
CROSSED = ("csim_source", "head_pose", "lip_gap_r", "d_rot", "lse_c", "lse_d", "av_offset", "fid", "kid")
NO_REAL = "there are no real frames to compare with in cross_identity"


@dataclass
class Report:
    """What a run did: clips computed, passed over, and failed as (method, clip, reason)."""

    computed: int = 0
    skipped: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)


def run(
    protocol: Protocol,
    source,
    candidates: Sequence[Candidate],
    judges: dict,
    results: Path,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Evaluate every candidate on every clip of the protocol.

    Args:
        source: data source (`clip_ids`, `clip(id)`, `manifest`, `name`): the protocol's set, split and size.
        judges: {kind: judge or None}, see `measure`.
        results: folder for the result files.
        progress: told (clips done, clips in all, clip id) before each clip and once at the end.

    Returns:
        A report; a failed clip is no exception. Result files are complete when it returns.

    Raises:
        ValueError: two candidates of one name, or judges other than the protocol names.
    """
    names = [candidate.name for candidate in candidates]
    if len(set(names)) != len(names):
        raise ValueError(f"two candidates of one name among {', '.join(names)}; rows need names of their own")
    _check_judges(protocol, judges)
    results = Path(results)
    chosen = select(source, protocol.selection, split=protocol.split, count=protocol.clips)
    report, ids = Report(), chosen.ids
    total = len(ids) * len(protocol.tasks)
    shown = gallery.shown(protocol, ids)
    for number, task in enumerate(protocol.tasks):
        crossing = task == "cross_identity"
        sources = crossed(ids) if crossing else dict.fromkeys(ids)
        # the real frames are no answer to another face, with whatever sound
        taking = [c for c in candidates if not (crossing and c.kind == "baseline" and "video" in c.driven_by)]
        hashes = {c.name: _begin(protocol, source, judges, c, task, chosen, results) for c in taking}
        for done, clip_id in enumerate(ids):
            if progress:
                progress(number * len(ids) + done, total, clip_id)
            files = {c.name: _clip_file(results, c, task, clip_id) for c in taking}
            pending = [c for c in taking if not _is_done(files[c.name], hashes[c.name])]
            report.skipped += len(taking) - len(pending)
            if pending:
                pair = (clip_id, sources[clip_id])
                keep_in = results if clip_id in shown else None
                _evaluate_clip(protocol, source, pending, judges, pair, files, hashes, report, keep_in)
                give_back_memory()
    if progress:
        progress(total, total, "")
    return report


def _check_judges(protocol, judges):
    for kind, judge in judges.items():
        named = protocol.judges.get(kind)
        if judge is not None and judge.name != named:
            raise ValueError(
                f"protocol {protocol.name!r} has {named or 'no judge'} for {kind}, not {judge.name}; "
                "scores of another judge belong in another benchmark"
            )


def _clip_file(results, candidate, task, clip_id) -> Path:
    return row_folder(results, candidate.name, task) / "clips" / f"{file_name(clip_id)}.json"


def _begin(protocol, source, judges, candidate, task, chosen: Selection, results) -> str:
    record = provenance(protocol, source, judges, candidate, chosen.as_dict())
    key = provenance_hash(record)
    about = {
        "method": candidate.name,
        "kind": candidate.kind,
        "task": task,
        "driven_by": list(candidate.driven_by),
        "only": None if candidate.metrics is None else list(candidate.metrics),
        "due": chosen.ids,
        "provenance_hash": key,
        "provenance": record,
    }
    write_json(row_folder(results, candidate.name, task) / "row.json", about)
    return key


def _is_done(path: Path, key: str) -> bool:
    if not path.exists():
        return False
    try:
        record = read_json(path)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("provenance_hash") == key and "error" not in record


def _evaluate_clip(
    protocol, source, pending: Iterable[Candidate], judges, pair, files, hashes, report, keep_in
):
    clip_id, source_id = pair
    before = report.computed
    try:
        clip = _cut(source.clip(clip_id), protocol.frames)
        person = clip if source_id is None else _cut(source.clip(source_id), protocol.frames)
        clip_error = None
    except Exception as error:  # whatever a decoder throws is this clip's fault, not the run's
        clip = person = None
        clip_error = one_line(error)
    real = None if clip is None else Footage(clip.frames[1:], clip.audio[SAMPLES_PER_FRAME:])
    for candidate in pending:
        path = files[candidate.name]
        record = {"clip": clip_id, "method": candidate.name, "provenance_hash": hashes[candidate.name]}
        try:
            if clip is None:
                raise ClipError(clip_error)
            record |= _evaluate(protocol, clip, person, real, candidate, judges, path, keep_in is not None)
            report.computed += 1
        except Exception as error:
            record |= {"error": one_line(error), "due": None if clip is None else clip.num_frames - 1}
            report.failed.append((candidate.name, clip_id, record["error"]))
        write_json(path, record)
    if keep_in is not None and report.computed > before:  # else the clip or the judge may be what is broken
        gallery.keep(gallery.real_folder(keep_in), clip_id, real, clip.frames[0], judges.get("landmarks"))


def _cut(clip: Clip, frames: int | None) -> Clip:
    if clip.num_frames < 2:
        raise ClipError(f"{clip.clip_id}: one frame only; the first is the source and isn't scored")
    if frames is None or clip.num_frames <= frames:
        return clip
    rows = ("frames", "landmarks", "pose", "expression")
    cut = {name: None if getattr(clip, name) is None else getattr(clip, name)[:frames] for name in rows}
    labels = {name: values[:frames] for name, values in clip.labels.items()}
    return replace(clip, audio=clip.audio[: frames * SAMPLES_PER_FRAME], labels=labels, **cut)


def _evaluate(
    protocol, clip: Clip, person: Clip, real: Footage, candidate: Candidate, judges, path: Path, keep: bool
) -> dict:
    """Scores of `clip`'s motion and sound put on the first frame of `person` (the same clip, or another's).

    `keep`: leave the footage where pages find it.
    """
    started = time.perf_counter()
    generated = np.asarray(candidate.generate(person.frames[0], allowed(clip, candidate.driven_by)))
    shown = person
    if candidate.reference is not None:
        same = person is clip
        clip = candidate.reference(clip)
        shown = clip if same else candidate.reference(person)
        real = Footage(clip.frames[1:], clip.audio[SAMPLES_PER_FRAME:], border=candidate.border)
    if generated.dtype != np.uint8 or generated.shape != clip.frames.shape:
        raise ValueError(
            f"{candidate.name} generated {generated.dtype} {generated.shape}; "
            f"uint8 {clip.frames.shape} was asked for"
        )
    made = time.perf_counter()
    frames = reencoded(generated[1:])
    audio = clip.audio if candidate.audio is None else candidate.audio(clip)
    fake = Footage(frames, audio[SAMPLES_PER_FRAME:], border=candidate.border)
    keys = [key for key in protocol.metrics if candidate.metrics is None or key in candidate.metrics]
    crossing = shown is not clip
    impossible = [key for key in keys if crossing and key not in CROSSED]
    keys = [key for key in keys if key not in impossible]
    first = Footage(shown.frames[:1], border=candidate.border)
    scores = measure(keys, real, fake, judges, protocol.options, source=first)
    record = {
        "identity": clip.identity,
        **({"source": shown.clip_id} if crossing else {}),
        "due": len(frames),
        "size": list(frames.shape[1:3]),
        "metrics": {
            key: {"value": s.value, "scored": s.scored} for key, s in scores.items() if s.value is not None
        },
        "unavailable": {
            **dict.fromkeys(impossible, NO_REAL),
            **{key: s.reason for key, s in scores.items() if s.value is None},
        },
    }
    set_keys = [key for key in keys if METRICS[key].level == "set"]
    if set_keys:
        why = absent("features", judges.get("features"))
        record["features"] = why is None
        if record["features"]:
            per_clip = protocol.options.get(set_keys[0], {}).get("frames_per_clip", FRAMES_PER_CLIP)
            those = Footage(shown.frames[1:], border=candidate.border) if crossing else real
            features = set_features(those, fake, judges["features"], per_clip)
            write_features(path.with_suffix(".npz"), *features)
        else:
            record["unavailable"] |= dict.fromkeys(set_keys, why)
    if keep:
        folder = path.parent.parent / "gallery"
        gallery.keep(folder, clip.clip_id, fake, shown.frames[0], judges.get("landmarks"))
    record["seconds"] = {
        "generate": round(made - started, 3),
        "score": round(time.perf_counter() - made, 3),
    }
    return record


def reencoded(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 (T, H, W, 3) after a round trip through PNG, as outputs are stored."""
    codes = (np.frombuffer(gallery.png(frame), np.uint8) for frame in frames)
    return np.stack([cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for code in codes])
