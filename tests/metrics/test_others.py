"""Frechet distances, synchrony, time, sharpness, resampling, identity, bits, sound features."""

import numpy as np
import pytest

from talkbench.data.mfcc import mfcc
from talkbench.metrics import bootstrap, compression, cpbd, embedding, frechet, image, sync, temporal
from talkbench.metrics.registry import METRICS, known, version


def test_fid_of_known_gaussians():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (4000, 3))
    assert frechet.fid(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet.fid(a, a + (3, 0, 4)) == pytest.approx(25)
    assert frechet.fid(a, 2 * a) == pytest.approx(np.trace(np.cov(a.T)) + (a.mean(0) ** 2).sum(), rel=1e-6)
    assert frechet.fid(a[:2], a[2:4]) >= 0  # fewer rows than dimensions
    with pytest.raises(ValueError, match="two rows"):
        frechet.fid(a[:1], a)


def test_fid_infinity_removes_the_bias():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 600, 8))
    sizes, values, slope, at_infinity = frechet.fid_infinity(a, b, np.arange(600), smallest=100, points=6)
    assert list(sizes) == [100, 200, 300, 400, 500, 600] and slope > 0
    assert abs(at_infinity) < values[-1] < values[0]


def test_fid_infinity_of_two_sets():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 600, 8))
    found = frechet.fid_infinity_of(a, b)
    assert abs(found) < frechet.fid(a, b) and found == frechet.fid_infinity_of(a, b)
    assert frechet.fid_infinity_of(a, b + 1) == pytest.approx(8, rel=0.15)


def test_flicker_error_is_of_both_directions():
    moving = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    still = np.repeat(moving[:1], 4, 0)
    assert temporal.flicker_error(moving, moving) == 0
    for sides in ((moving, still), (still, moving)):
        assert temporal.flicker_error(*sides) == temporal.flicker(moving) > 0.1


def test_kid_is_unbiased():
    rng = np.random.default_rng(0)
    values = [frechet.kid(*rng.normal(size=(2, 60, 4))) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert frechet.kid(rng.normal(size=(50, 4)), rng.normal(2, 1, (70, 4))) > 0.5
    with pytest.raises(ValueError, match="use `kid`"):
        frechet.kid_subsets(np.ones((5, 2)), np.ones((5, 2)), size=6)


@pytest.mark.parametrize("shift", [-4, 0, 7])
def test_sync_finds_the_shift(shift):
    features = np.random.default_rng(0).normal(size=(60, 16))
    found = sync.search(features, np.roll(features, -shift, 0))
    assert found.offset == shift  # positive: the sound leads
    assert found.lse_d < 1.5 and found.lse_c > 2
    assert found.mean_distance.shape == (31,) and found.frame_confidence.shape == (60,)
    with pytest.raises(ValueError, match="one shape"):
        sync.search(features, features[:5])


def test_sync_of_unrelated_features_is_not_confident():
    video, audio = np.random.default_rng(0).normal(size=(2, 60, 16))
    assert sync.search(video, audio).lse_c < 0.5


def test_temporal(pair):
    real, fake = pair
    assert temporal.tde(real, real) == 0 and temporal.tde(real, fake) > 0
    brighter = (real // 2 + 60).astype(np.uint8)
    still = np.repeat(real[:1], 3, 0)
    assert temporal.flicker(still) == 0
    assert temporal.tde(real, still) == pytest.approx(temporal.flicker(real))
    assert temporal.tde(real // 2, brighter) == pytest.approx(0)
    assert np.isnan(temporal.tde(real[:1], real[:1]))


def test_warping_error_follows_the_flow(pair):
    frame = pair[0][0]
    frames = np.stack([frame, np.roll(frame, 3, 1)])
    flow = np.zeros((1, *frame.shape[:2], 2))
    flow[..., 0] = 3
    visible = np.zeros((1, *frame.shape[:2]), bool)
    assert np.isnan(temporal.warping_error(frames, flow, visible))[0]
    visible[:, :, :-3] = True
    assert temporal.warping_error(frames, flow, visible)[0] == pytest.approx(0, abs=1e-12)
    assert temporal.warping_error(frames, 0 * flow, visible)[0] > 1e-3


def test_canny_is_scikit_image():
    from scipy import ndimage
    from skimage.feature import canny

    rng = np.random.default_rng(0)
    picture = ndimage.gaussian_filter(rng.uniform(0, 255, (90, 80)), 2)
    assert canny(picture).any() and np.array_equal(cpbd.canny(picture), canny(picture))


def test_blur_lowers_cpbd():
    from scipy import ndimage

    blobs = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(128, 128)), 6)
    picture = ndimage.gaussian_filter(np.where(blobs > 0, 145.0, 100.0), 0.5)
    scores = [cpbd.cpbd(np.round(ndimage.gaussian_filter(picture, s)).astype(np.uint8)) for s in (0, 1, 3)]
    assert scores[0] > 0.7 and scores[0] > scores[1] > scores[2]
    assert cpbd.cpbd(np.zeros((128, 128), np.uint8)) == 0  # no edge


def test_bootstrap():
    rng = np.random.default_rng(0)
    scores = rng.normal(5, 1, 200)
    mean, low, high = bootstrap.mean_interval(scores, bootstrap.resamples(200))
    assert low < mean < high and high - low == pytest.approx(4 * scores.std() / np.sqrt(200), rel=0.2)
    difference = bootstrap.paired(scores, scores + 0.1, bootstrap.resamples(200))
    assert difference.mean == pytest.approx(0.1) and difference.p == 0
    assert bootstrap.paired(scores, scores, bootstrap.resamples(200)).p == 1


def test_speakers_that_repeat_widen_the_interval():
    speakers = np.repeat(np.arange(8), 10)
    scores = np.random.default_rng(0).normal(0, 1, 8)[speakers]
    _, low, high = bootstrap.cluster_interval(scores, speakers)
    _, narrow_low, narrow_high = bootstrap.mean_interval(scores, bootstrap.resamples(80))
    assert high - low > 2 * (narrow_high - narrow_low)
    one = bootstrap.cluster_interval([1.0, 2.0, 3.0], ["a"] * 3)
    assert one[1] < one[0] < one[2]  # one speaker: clips are resampled


def test_a_distance_of_sets_lies_in_its_interval():
    rng = np.random.default_rng(0)
    real, fake = (list(rng.normal(size=(20, 8, 16))) for _ in range(2))
    value = frechet.fid(np.concatenate(real), np.concatenate(fake))
    drawn = [
        frechet.fid(np.concatenate([real[i] for i in draw]), np.concatenate([fake[i] for i in draw]))
        for draw in bootstrap.resamples(20, rounds=100)
    ]
    assert min(drawn) > value  # every resample holds doubles
    low, high = bootstrap.interval(bootstrap.unbiased(value, drawn))
    assert low < value < high and high - low == pytest.approx(np.subtract(*bootstrap.interval(drawn)[::-1]))


def test_identity():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(5, 16))
    assert embedding.csim(a, 3 * a) == pytest.approx(1)
    assert embedding.aed(a, 3 * a) == pytest.approx(0)
    assert embedding.aed(a, -a) == pytest.approx(4) and embedding.aed_root(a, -a) == pytest.approx(2)
    assert embedding.csim(a[:1], a) < 1


def test_bits():
    assert compression.bits_per_pixel(1000, 10, 10, 8) == 10
    assert compression.kilobits_per_second(1000, 25, 25) == 8


def test_mfcc():
    rng = np.random.default_rng(0)
    samples = rng.integers(-3000, 3000, 3200).astype(np.int16)
    features = mfcc(samples)
    assert features.shape == (19, 13)
    np.testing.assert_allclose(mfcc(samples.astype(np.float32) / 32768), features, rtol=1e-9)
    assert np.isfinite(mfcc(np.zeros(700, np.int16))).all()
    assert mfcc(samples[:100]).shape == (1, 13)
    with pytest.raises(ValueError, match="mono"):
        mfcc(np.zeros((2, 700)))


def test_registry():
    assert all(key == metric.key and metric.better in ("higher", "lower") for key, metric in METRICS.items())
    assert all(metric.level in ("frame", "clip", "set") for metric in METRICS.values())
    needed = "l1 psnr ssim ms_ssim lpips fid kid lmd d_ll d_vl d_a d_l d_v d_rot d_pos akd aed mkr csim lse_c"
    assert set(needed.split()) | {"lse_d", "av_offset", "cpbd", "lip_gap_r"} <= set(METRICS)
    assert version("ms_ssim", {"scales": 3}).endswith("scales=3") and "scales" not in version("ms_ssim")
    with pytest.raises(ValueError, match="unknown metric 'ssmi'"):
        known(["ssim", "ssmi"])
    assert image.ms_ssim_smallest(5) == 161
