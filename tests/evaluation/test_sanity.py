import numpy as np
import pytest

from talkbench.data.clip import SAMPLES_PER_FRAME, Clip
from talkbench.evaluation import sanity
from talkbench.geometry.head import mean_face

KEYS = ["l1", "psnr", "tde", "lmd", "akd", "d_ll", "d_v", "lip_gap_r", "mkr"]


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    time = np.arange(sanity.LONGEST_SHIFT + 24)
    speech = np.cumsum(rng.standard_normal(len(time)))  # drifts: what is later differs more
    pictures = cv_smooth(rng.integers(0, 255, (64, 64, 3))) + 4 * speech[:, None, None, None]
    points = np.repeat(mean_face()[None, :, :2] * 60 + 128, len(time), 0)
    points[:, 48:, 1] += speech[:, None] * np.linspace(0, 1, 20)
    return np.clip(pictures, 0, 255).astype(np.uint8), points


def cv_smooth(picture):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(picture.astype(float), (1, 1, 0))


def test_untouched_is_perfect_and_worse_is_worse(clip):
    untouched, found = sanity.table([clip], KEYS)
    assert sanity.imperfect(untouched) == {} and set(untouched) == set(KEYS)
    for key, ways in (("psnr", ("jpeg", "noise")), ("l1", ("jpeg", "noise")), ("akd", ("jitter",))):
        for way in ways:
            assert sanity.verdict(key, found[key][way]) == "yes", (key, way, found[key][way])
    assert sanity.verdict("psnr", found["psnr"]["blur"]) == "yes"
    assert sanity.verdict("lmd", found["lmd"]["jitter"]) == "yes" and "blur" not in found["lmd"]
    assert "jitter" not in found["psnr"] and len(found["tde"]["frame drop"]) == 5
    assert list(found["mkr"]) == ["lost faces"] and sanity.verdict("mkr", found["mkr"]["lost faces"]) == "yes"
    np.testing.assert_allclose(np.ravel(found["mkr"]["lost faces"]), [0, 2 / 24, 5 / 24, 8 / 24, 12 / 24])
    page = sanity.markdown(untouched, found)
    assert page.count("\n") == 1 + len(KEYS) and "| `psnr` | 100 | yes | yes |" in page


def test_a_metric_that_gets_better_is_caught():
    assert sanity.verdict("psnr", [100, 40, 41, 30, 30]) == "not at step 2, 4"
    assert sanity.verdict("l1", [0, 1, 2, 3, 4]) == "yes" and sanity.verdict("mkr", [0, 0, 0]) == "unmoved"
    noisy = np.array([0, 0.01, -1])[:, None] + [[0, 0, 0], [0.1, -0.1, 0], [0, 0.1, 0.2]]
    assert sanity.verdict("csim", noisy) == "level at step 1", "by less than the clips differ"
    assert sanity.verdict("csim", noisy + [[0], [1], [0]]) == "not at step 1"
    assert sanity.verdict("csim", [*noisy[:2], [np.nan, 9, 9], noisy[2] - 9]) == "not at step 2"
    assert sanity.imperfect({"psnr_luma": 99.0, "ssim": 1.0, "cpbd": 0.3, "l1": 0.1}) == {
        "psnr_luma": 99.0,
        "l1": 0.1,
    }


def test_time_is_spoiled_as_said():
    held = sanity.spoil_time(40, "frame drop", 0.5)
    gone = sanity.lost(40, 0.5)
    assert gone.sum() == 20 and not gone[0] and held[0] == 0
    assert all(held[i] == (held[i - 1] if gone[i] else i) for i in range(1, 40))
    assert (gone | sanity.lost(40, 0.2) == gone).all(), "a stronger loss has the weaker one in it"
    assert sanity.spoil_time(3, "time shift", 2).tolist() == [-2, -1, 0]


def test_judges_see_it_too(clip):
    class Mean:
        """Identity and features by means and contrasts."""

        name, hash = "mean", "1"

        def embed(self, frames):
            return np.concatenate([frames.mean((1, 2)), frames.std((1, 2))], 1)

        features = embed

    frames = clip[0]
    whole = Clip("a", "a", frames, np.zeros(len(frames) * SAMPLES_PER_FRAME, np.float32))
    judges = {"identity": Mean(), "features": Mean()}
    untouched, found = sanity.judged_table([whole, whole], ["csim", "aed", "fid", "csim_source"], judges)
    assert sanity.imperfect(untouched) == {} and untouched["aed"] == 0
    for key, ways in (("aed", ("blur", "noise", "time shift")), ("fid", ("blur", "noise"))):
        for way in ways:
            assert sanity.verdict(key, found[key][way]) == "yes", (key, way, found[key][way])
    assert "time shift" not in found["fid"] and "time shift" not in found["csim_source"]
