from dataclasses import replace

import numpy as np
import pytest
from toy_benchmark import FRAMES, Landmarks, make_clip

from talkbench.evaluation.external import ScoreError, score, tally


class Folder:
    """A source of clips in memory that reads as a folder does."""

    def __init__(self, clips):
        self.items = {clip.clip_id: clip for clip in clips}
        self.clip_ids = list(self.items)

    def read(self, clip_id):
        if isinstance(self.items[clip_id].frames, str):
            raise OSError(self.items[clip_id].frames)
        return self.items[clip_id], {"video_codec": "h264"}


def with_landmarks(clip, noise=0.0, source="file:x"):
    points = np.zeros((clip.num_frames, 68, 3), np.float32)
    points[..., :2] = Landmarks().landmarks(clip.frames)
    points += np.random.default_rng(0).normal(0, noise, points.shape) if noise else 0
    return replace(clip, landmarks=points, landmark_source=source)


@pytest.fixture
def real():
    return [with_landmarks(make_clip(name, name, seed)) for seed, name in enumerate("abc")]


def scored(made, real, metrics=None, **options):
    generated, reference = Folder(made), Folder(real)
    total = tally(generated, reference, metrics, scales=1)
    list(score(total, generated, reference, **options))
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
