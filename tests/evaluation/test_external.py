import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from toy_benchmark import FRAMES, Features, Landmarks, Sync, make_clip

from talkbench.evaluation.external import FROM_FILES, ScoreError, Settings, score, tally
from talkbench.evaluation.measure import MissingJudge


class Folder:
    """A source of clips in memory that reads as a folder does."""

    def __init__(self, clips, **meta):
        self.items = {clip.clip_id: clip for clip in clips}
        self.clip_ids = list(self.items)
        self.meta = {"video_codec": "h264", **meta}
        self.reads = []

    def read(self, clip_id):
        self.reads.append(clip_id)
        return self.items[clip_id], self.meta

    def content(self, clip_id):
        return str(self.items[clip_id].frames.sum())


def with_landmarks(clip, noise=0.0, source="file:x"):
    points = np.zeros((clip.num_frames, 68, 3), np.float32)
    points[..., :2] = Landmarks().landmarks(clip.frames)
    points += np.random.default_rng(0).normal(0, noise, points.shape) if noise else 0
    return replace(clip, landmarks=points, landmark_source=source)


@pytest.fixture
def real():
    return [with_landmarks(make_clip(name, name, seed)) for seed, name in enumerate("abc")]


def scored(made, real, metrics=None, judges=None, folder=None, **options):
    generated, reference = (side if isinstance(side, Folder) else Folder(side) for side in (made, real))
    total = tally(generated, reference, metrics, scales=1, judges=judges)
    list(score(total, generated, reference, Settings(**options), folder, "mine"))
    return total


def test_identical_clips_are_perfect(real):
    total = scored(real, real)
    summaries, unavailable = total.summaries()
    assert unavailable == {} and total.failed == {}
    value = {key: summary.value for key, summary in summaries.items()}
    assert (value["psnr"], value["ssim"], value["ms_ssim"], value["l1"], value["tde"]) == (100, 1, 1, 0, 0)
    assert value["lmd"] == 0 and value["lip_gap_r"] == pytest.approx(1)
    assert summaries["psnr"].coverage == 1 and summaries["psnr"].clips == 3
    assert total.clips[0]["due"] == FRAMES - 1
    about = total.about()
    assert about["lmd"]["judge"] == "file" and about["psnr"]["version"].endswith("codec=h264")
    assert "scales=1" in about["ms_ssim"]["version"]


def test_the_rest_goes_on(real):
    made = [
        with_landmarks(make_clip("a", "a", 0), noise=0.3),
        replace(make_clip("b", "b", 1, frames=20), landmarks=None),
        make_clip("z", "z", 1),
    ]
    total = scored(made, real)
    assert list(total.failed) == ["b"] and "20 generated frames for 40" in total.failed["b"]
    assert total.only_generated == ["z"] and total.only_reference == ["c"]
    summaries, _ = total.summaries()
    assert summaries["psnr"].clips == 1 and summaries["psnr"].coverage == pytest.approx(1 / 3)
    assert summaries["akd"].value > 1


def test_a_surplus_is_dropped_and_counted(real):
    made = [with_landmarks(make_clip("a", "a", 0, frames=FRAMES + 3))]
    total = scored(made, real)
    assert total.clips[0]["dropped"] == 3 and total.clips[0]["metrics"]["psnr"]["value"] == 100
    total = scored(made, real, largest_difference=2)
    assert "--allow-length-difference" in total.failed["a"]
    assert scored(made, real, ["l1"], skip=0).clips[0]["due"] == FRAMES
    assert "none is left" in scored(made, real, skip=FRAMES).failed["a"]


def test_landmarks_of_two_makers_are_not_compared(real):
    made = [with_landmarks(make_clip("a", "a", 0), source="file:y"), make_clip("b", "b", 1)]
    summaries, unavailable = scored(made, real).summaries()
    assert "can't be compared" in unavailable["lmd"] and "psnr" in summaries
    _, unavailable = scored(made[1:], real).summaries()
    assert "landmarks.npz" in unavailable["lmd"]


def test_sizes_must_agree(real):
    small = replace(make_clip("a", "a", 0), frames=np.zeros((FRAMES, 8, 8, 3), np.uint8))
    assert "--size N" in scored([small], real).failed["a"]


def test_what_cannot_be_compared_is_said(real):
    with pytest.raises(ScoreError, match="no name is in both"):
        scored([make_clip("x", "x", 0)], real)
    with pytest.raises(ScoreError, match=r"fid \(features\)"):
        scored(real, real, ["psnr", "fid"])
    with pytest.raises(ValueError, match="unknown metric 'pnsr'"):
        scored(real, real, ["pnsr"])


def test_a_frame_without_a_face_is_not_scored_and_counted(real):
    made = Folder([with_landmarks(make_clip("a", "a", 0))], landmarks_interpolated=[3, 4, 0])
    total = scored(made, real[:1])
    cell = total.clips[0]["metrics"]
    assert cell["lmd"]["scored"] == FRAMES - 3 and cell["psnr"]["scored"] == FRAMES - 1
    assert cell["mkr"]["value"] == pytest.approx(2 / (FRAMES - 1))
    assert total.left_out()["frames"]["without a face, in landmark metrics"] == 2
    assert total.summaries()[0]["lmd"].coverage == pytest.approx((FRAMES - 3) / (FRAMES - 1))


def test_frames_chosen_by_time_stamps_are_said(real):
    total = scored(Folder(real, fps=29.97, flags=["vfr"]), Folder(real, fps=25.0))
    assert total.resampled() == {"generated": dict.fromkeys("abc", "29.97, uneven"), "reference": {}}


def test_a_missing_judge_takes_only_its_own_metrics(real):
    judges = FROM_FILES | {"lpips": MissingJudge("lpips-vgg", "run this"), "features": Features()}
    total = scored(real, real, ["psnr", "lpips", "kid", "fid"], judges)
    summaries, unavailable = total.summaries()
    assert unavailable["lpips"] == "run this" and "FID needs 2048" in unavailable["fid"]
    assert summaries["kid"].clips == 3 and summaries["kid"].coverage == 1 and summaries["psnr"].value == 100
    assert not total.broken
    judges["lpips"] = MissingJudge("lpips-vgg", "not a VGG", broken=True)
    assert scored(real, real, ["lpips"], judges).broken == ["not a VGG"]


def test_sync_names_the_real_clips_score_and_refuses_silence(real):
    judges = {"sync": Sync()}
    mute = replace(real[1], audio=np.zeros_like(real[1].audio))
    total = scored([real[0], mute], real, ["lse_c", "av_offset"], judges)
    assert total.clips[0]["reference"]["lse_c"] == total.clips[0]["metrics"]["lse_c"]["value"] > 0
    assert total.reference_sync()["av_offset"] == 0
    assert "silent" in total.clips[1]["unavailable"]["lse_c"]
    assert total.summaries()[0]["lse_c"].coverage == pytest.approx(1 / 3)


def test_it_goes_on_where_it_stopped(real, tmp_path):
    keys, judges = ["psnr", "kid"], {"features": Features()}
    generated, reference = Folder(real), Folder(real)
    total = tally(generated, reference, keys, judges=judges)
    next(score(total, generated, reference, Settings(), tmp_path))  # and stopped after one clip
    again = Folder(real)
    whole = scored(again, real, keys, judges, tmp_path)
    assert again.reads == ["b", "c"], "scored twice" if "a" in again.reads else "not scored"
    again = Folder(real)
    assert scored(again, real, keys, judges, tmp_path).clips == whole.clips and not again.reads
    assert not list(tmp_path.rglob(".*")), "temporary files are left"
    (tmp_path / "clips" / "b.json").write_text("{")
    changed = [replace(real[0], frames=real[0].frames + 1), *real[1:]]
    again = Folder(changed)
    scored(again, real, keys, judges, tmp_path)
    assert again.reads == ["a", "b"]  # a: another file; b: torn
    again = Folder(changed)
    scored(again, real, keys, judges, tmp_path, skip=2)
    assert again.reads == ["a", "b", "c"]


def test_no_clip_is_held(real):
    """Memory must not grow with the number of clips."""
    alive = []

    class Counting(Folder):
        def read(self, clip_id):
            clip = replace(self.items[clip_id], frames=self.items[clip_id].frames.copy())
            alive.append(weakref.ref(clip))
            return clip, self.meta

    generated, reference = Counting(real), Counting(real)
    total = tally(generated, reference, ["psnr"])
    for _ in score(total, generated, reference):
        gc.collect()
        assert not [clip for clip in alive if clip() is not None]
    assert len(alive) == 6
