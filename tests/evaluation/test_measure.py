import numpy as np
import pytest
from toy_benchmark import Landmarks, make_clip

from talkbench.evaluation.measure import Footage, evenly_spaced, measure, set_features
from talkbench.metrics import landmark
from talkbench.metrics.registry import METRICS

EVERY = [key for key, metric in METRICS.items() if metric.level != "set"]


@pytest.fixture
def clip():
    return make_clip("a", "a", 1)


def test_close_ups_get_a_border_for_judges_of_whole_pictures():
    class Judge:
        name, hash, whole_pictures = "far", "1", True

        def landmarks(self, frames):
            self.shape = frames.shape
            dark = np.argwhere(frames[0].sum(-1) == 0)[0, ::-1] + 0.5
            return np.broadcast_to(dark, (len(frames), 68, 2))

        def features(self, frames):
            return frames.reshape(len(frames), -1)

    frames = np.full((3, 40, 40, 3), 255, np.uint8)
    frames[:, 10, 20] = 0
    judge, near = Judge(), Footage(frames, border=0.25)
    np.testing.assert_array_equal(near.look("landmarks", judge)[0, 0], (20.5, 10.5))
    assert judge.shape == (3, 60, 60, 3)
    assert set_features(near, near, judge)[1].shape == (3, 60 * 60 * 3)
    judge.whole_pictures = False
    np.testing.assert_array_equal(Footage(frames, border=0.25).look("landmarks", judge)[0, 0], (20.5, 10.5))
    assert judge.shape == frames.shape


def test_every_metric_has_a_value_or_a_reason(clip, judges):
    real = Footage(clip.frames, clip.audio)
    scores = measure(
        EVERY, real, Footage(clip.frames.copy(), clip.audio), judges, {"ms_ssim": {"scales": 1}}, 1000
    )
    assert list(scores) == EVERY
    for key, score in scores.items():
        assert (score.value is None) == (score.reason is not None), key
        assert score.due == len(clip.frames)
    assert {k for k, s in scores.items() if s.value is None} == {
        *("cpbd", "cpbd_atvgnet", "csim", "csim_source", "aed", "lpips", "head_pose"),
    }
    assert "no identity judge" in scores["csim"].reason and "256 px" in scores["cpbd"].reason
    assert scores["psnr"].value == 100 and scores["l1"].value == 0 and scores["lmd"].value == 0
    assert scores["lip_gap_r"].value == pytest.approx(1) and scores["mkr"].value == 0
    assert scores["lse_c"].value > 0.1 and scores["av_offset"].value == 0


def test_without_sound_or_bytes(clip, judges):
    scores = measure(["lse_c", "bpp"], Footage(clip.frames), Footage(clip.frames), judges)
    assert scores["lse_c"].reason.startswith("no sound") and "transmitted" in scores["bpp"].reason


def test_small_pictures(clip, judges):
    tiny = Footage(clip.frames[:, :8, :8])
    scores = measure(["ssim", "ms_ssim", "l1", "ssim_luma", "warping_error_dis"], tiny, tiny, judges)
    assert scores["warping_error_dis"].reason == "picture smaller than 16 px"
    assert scores["ssim"].reason == "picture smaller than 11 px"
    assert scores["ms_ssim"].reason == "picture smaller than 161 px"
    assert scores["l1"].value == 0 and scores["ssim_luma"].value is None


def test_frames_without_a_face_are_counted(clip, judges):
    fake = clip.frames.copy()
    fake[10:20] = 0
    scores = measure(["lmd", "mkr", "d_vl", "psnr"], Footage(clip.frames), Footage(fake), judges)
    assert (scores["lmd"].scored, scores["lmd"].due) == (30, 40)
    assert scores["mkr"].value == pytest.approx(0.25)
    assert scores["psnr"].scored == 40
    assert scores["d_vl"].value == 0  # the jump across the gap is no step


def test_velocity_over_a_gap_is_left_out(clip):
    real, fake = Footage(clip.frames), Footage(clip.frames.copy())
    judge = Landmarks()
    track = judge.landmarks(clip.frames)
    moved = track.copy()
    moved[20:] += 3  # one jump, from 19 to 20
    whole = measure(["d_vl"], real, Footage(clip.frames, seen={"landmarks": moved}), {"landmarks": judge})
    assert whole["d_vl"].value > 0.5
    moved[19] = np.nan
    gap = measure(["d_vl"], real, Footage(clip.frames, seen={"landmarks": moved}), {"landmarks": judge})
    assert gap["d_vl"].value == pytest.approx(0, abs=1e-9)
    assert fake.seen == {}


def test_no_face_at_all(clip):
    class Blind:
        name, hash = "blind", "0"

        def landmarks(self, frames):
            return None

    scores = measure(["lmd", "mkr"], Footage(clip.frames), Footage(clip.frames), {"landmarks": Blind()})
    assert scores["lmd"].value is None and "no frame with a face" in scores["lmd"].reason
    assert scores["mkr"].reason == "no face in the real frames"


def test_pixels_are_of_a_256_crop(clip, judges):
    track = judges["landmarks"].landmarks(clip.frames)
    moved = track + np.random.default_rng(0).normal(0, 0.3, track.shape)
    fake = Footage(clip.frames, seen={"landmarks": moved})
    scores = measure(["akd", "lmd"], Footage(clip.frames), fake, judges)
    assert scores["akd"].value == pytest.approx(16 * landmark.akd(track, moved))
    assert scores["lmd"].value == pytest.approx(16 * landmark.lmd(track, moved, size=256))


def test_shapes_must_fit(clip, judges):
    with pytest.raises(ValueError, match="as many frames"):
        measure(["l1"], Footage(clip.frames), Footage(clip.frames[1:]), judges)


def test_evenly_spaced():
    assert evenly_spaced(100, 5).tolist() == [0, 25, 50, 74, 99]
    assert evenly_spaced(3, 16).tolist() == [0, 1, 2]


def test_identity_against_the_source_picture(clip):
    class Identity:
        name, hash = "toy", "1"

        def embed(self, frames):
            rows = frames.reshape(len(frames), -1)[:, :3].astype(float) - 80
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            rows[frames.max((1, 2, 3)) == 0] = np.nan  # black: no face
            return rows

    keys, judges = ["csim", "csim_source"], {"identity": Identity()}
    other = np.flip(clip.frames, 2).copy()
    other[3] = 0
    source = Footage(clip.frames[:1])
    scores = measure(keys, Footage(clip.frames), Footage(other), judges, source=source)
    alone = measure(keys, Footage(clip.frames), Footage(clip.frames), judges)
    assert scores["csim_source"].value < 0.999 and scores["csim_source"].scored == len(clip.frames) - 1
    assert alone["csim"].value == pytest.approx(1) and "no source" in alone["csim_source"].reason
    same = measure(
        keys, Footage(other), Footage(clip.frames[:1].repeat(len(other), 0)), judges, source=source
    )
    assert same["csim_source"].value == pytest.approx(1) and same["csim"].value < 0.999
    blank = measure(keys, Footage(clip.frames), Footage(np.zeros_like(other)), judges, source=source)
    assert blank["csim_source"].value is None and "face" in blank["csim"].reason
