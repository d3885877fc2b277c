"""Score anyone's videos against a reference: two folders, clips matched by name, one pair at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from talkbench.data.clip import SAMPLES_PER_FRAME, Clip
from talkbench.evaluation.measure import Footage, measure
from talkbench.evaluation.results import Summary, one_line, summarise
from talkbench.metrics.registry import METRICS, known, version

LARGEST_DIFFERENCE = 5  # frames by which the lengths of a pair may differ
DEFAULT_METRICS = ("l1", "psnr", "ssim", "ms_ssim", "tde")
LANDMARK_METRICS = (
    "lmd",
    "akd",
    "akd_euclidean",
    "d_ll",
    "d_vl",
    "d_a",
    "d_l",
    "d_v",
    "d_rot",
    "d_pos",
    "lip_gap_r",
)
FILE_JUDGE = "file"


class ScoreError(ValueError):
    """Folders or clips that can't be compared; the message says what to change."""


@dataclass(frozen=True)
class FileJudge:
    """Stands for landmarks that were read from files beside the clips."""

    name: str = FILE_JUDGE
    hash: str = ""


@dataclass
class Tally:
    """Scores of a set of clips.

    Attributes:
        metrics: keys asked for.
        clips: one record a clip: clip, identity, due, dropped, codec, metrics, unavailable.
        failed: {clip: why}. only_generated, only_reference: clips without a partner.
        options: of metrics, as in a protocol.
    """

    metrics: list[str]
    clips: list[dict] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    only_generated: list[str] = field(default_factory=list)
    only_reference: list[str] = field(default_factory=list)
    options: dict = field(default_factory=dict)

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
                "judge": FILE_JUDGE if metric.judge == "landmarks" else None,
                "version": f"{text} codec={self.codec}" if self.codec else text,
            }
        return described


def tally(generated, reference, metrics=None, *, scales: int = 5) -> Tally:
    """Match two sources by clip name.

    Args:
        generated, reference: sources (`clip_ids`; `rejected` {path: reason}, where they know files they
            can't read).
        metrics: keys; None: those that need nothing but the videos (and landmark files, where both sides
            have them).

    Raises:
        ScoreError: no common name, or a metric that this command can't measure.
    """
    keys = [*DEFAULT_METRICS, *LANDMARK_METRICS] if metrics is None else known(metrics)
    impossible = [
        k for k in keys if METRICS[k].judge not in (None, "landmarks") or METRICS[k].needs == ("bytes",)
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
    return Tally(
        list(dict.fromkeys(keys)),
        failed=failed,
        only_generated=sorted(made - real - set(failed)),
        only_reference=sorted(real - made - set(failed)),
        options={} if scales == 5 else {"ms_ssim": {"scales": scales}},
    )


def _few(names) -> str:
    names = sorted(names)
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def score(
    total: Tally, generated, reference, *, skip: int = 1, largest_difference: int = LARGEST_DIFFERENCE
) -> Iterator[dict]:
    """Score the common clips one by one.

    Args:
        total: of `tally`; the records are added to it as they come.
        generated, reference: sources with `read(clip_id) -> (Clip, {"video_codec": ...})`.
        skip: leading frames that aren't scored; 1: frame 0 was the source picture, as in the protocols.
        largest_difference: refuse a pair whose lengths differ by more frames; the surplus at the end is
            dropped.

    Yields:
        A record a clip, with "error" where it failed; the others go on.
    """
    common = [clip_id for clip_id in reference.clip_ids if clip_id in set(generated.clip_ids)]
    for clip_id in common:
        try:
            record = _score_clip(
                total, *reference.read(clip_id), *generated.read(clip_id), skip, largest_difference
            )
        except Exception as error:  # whatever a decoder throws is this clip's fault, not the run's
            record = {"clip": clip_id, "error": one_line(error)}
        total.add(record)
        yield record


def _score_clip(total, real: Clip, _, fake: Clip, meta: dict, skip: int, largest_difference: int) -> dict:
    count = min(real.num_frames, fake.num_frames)
    dropped = max(real.num_frames, fake.num_frames) - count
    if dropped > largest_difference:
        raise ScoreError(
            f"{fake.clip_id}: {fake.num_frames} generated frames for {real.num_frames} real ones; "
            "--allow-length-difference N permits more"
        )
    if real.frames.shape[1:] != fake.frames.shape[1:]:
        sizes = [f"{clip.frames.shape[2]}x{clip.frames.shape[1]}" for clip in (fake, real)]
        raise ScoreError(
            f"{fake.clip_id}: generated at {sizes[0]}, the reference is {sizes[1]}; --size N resizes both"
        )
    if count <= skip:
        raise ScoreError(f"{fake.clip_id}: {count} frames, {skip} of them skipped: none is left to score")
    judge, why = FileJudge(), None
    if real.landmarks is None or fake.landmarks is None:
        judge, why = None, "NAME.landmarks.npz lies not beside both videos"
    elif real.landmark_source != fake.landmark_source:
        judge, why = None, f"landmarks of {fake.landmark_source} and {real.landmark_source} can't be compared"
    sides = [_footage(clip, skip, count, judge is not None) for clip in (real, fake)]
    scores = measure(total.metrics, *sides, {"landmarks": judge}, total.options)
    reasons = {key: s.reason for key, s in scores.items() if s.value is None}
    if why:
        reasons |= {key: why for key in reasons if METRICS[key].judge == "landmarks"}
    return {
        "clip": fake.clip_id,
        "identity": real.identity,
        "due": count - skip,
        "dropped": dropped,
        "codec": meta.get("video_codec") or "unknown",
        "metrics": {
            key: {"value": s.value, "scored": s.scored} for key, s in scores.items() if s.value is not None
        },
        "unavailable": reasons,
    }


def _footage(clip: Clip, skip: int, count: int, with_landmarks: bool) -> Footage:
    seen = {"landmarks": clip.landmarks[skip:count]} if with_landmarks else {}
    return Footage(
        clip.frames[skip:count], clip.audio[skip * SAMPLES_PER_FRAME : count * SAMPLES_PER_FRAME], seen
    )
