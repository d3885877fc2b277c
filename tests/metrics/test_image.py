import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from talkbench.metrics import batched, image


def test_luma_is_opencv(pair):
    import cv2

    for frame in pair[0]:
        assert np.array_equal(image.luma(frame), cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (300, 300, 3)).astype(np.uint8)
    assert np.array_equal(image.luma(frame), cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))


def test_psnr_and_ssim_are_scikit_image(pair):
    real, fake = pair
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(real, fake)]
    np.testing.assert_allclose(image.psnr(real, fake), expected, rtol=1e-12)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        structural_similarity(a, b, data_range=255, channel_axis=-1, **options) for a, b in zip(real, fake)
    ]
    np.testing.assert_allclose(image.ssim(real, fake, data_range=255), expected, rtol=1e-9)
    expected = [structural_similarity(a, b, data_range=255, channel_axis=-1) for a, b in zip(real, fake)]
    np.testing.assert_allclose(
        image.ssim(real, fake, data_range=255, variant="uniform7_rgb"), expected, rtol=1e-9
    )


def test_identical_pictures_are_perfect(pair):
    real, _ = pair
    assert (image.psnr(real, real) == 100).all() and (image.l1(real, real) == 0).all()
    assert np.allclose(image.ssim(real, real, data_range=255), 1)
    fast = batched.score(real, real, ["l1", "psnr", "ssim", "ms_ssim"], scales=2)
    assert (fast["l1"] == 0).all() and (fast["psnr"] == 100).all()
    np.testing.assert_allclose(fast["ssim"], 1, atol=1e-6)
    np.testing.assert_allclose(fast["ms_ssim"], 1, atol=1e-6)


def test_pooled_psnr_is_never_above_the_mean(pair):
    real, fake = pair
    fake = fake.copy()
    fake[0] = real[0] // 2
    assert image.psnr_pooled(real, fake) < image.psnr(real, fake).mean()


def test_wrapped_psnr_has_a_floor(pair):
    real, _ = pair
    black = np.zeros_like(real)
    assert image.psnr_atvgnet(black, black + 128).min() >= 24.06  # 128 squared wraps to 0
    assert image.psnr_luma(black, black + 128).max() < 7


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_batched_equals_float64(pair, batch, monkeypatch):
    real, fake = (np.concatenate([p, p[:2, ::-1]]) for p in pair)
    monkeypatch.setattr(batched, "CPU_PIXELS", batch * 48 * 52)
    fast = batched.score(real, fake, ["l1", "psnr", "ssim", "ms_ssim"], scales=2)
    slow = {
        "l1": image.l1(real, fake),
        "psnr": image.psnr(real, fake),
        "ssim": image.ssim(real, fake, data_range=255),
        "ms_ssim": image.ms_ssim(real, fake, data_range=255, scales=2),
    }
    for key, values in slow.items():
        assert fast[key].shape == (5,)
        np.testing.assert_allclose(fast[key], values, atol=1e-5, err_msg=key)


def test_ms_ssim_scales():
    assert image.ms_ssim_smallest() == 161 and image.ms_ssim_smallest(3) == 41
    assert image.ms_ssim_betas(5).tolist() == list(image.MS_SSIM_BETAS)
    assert image.ms_ssim_betas(3).sum() == pytest.approx(1)
    small = np.zeros((1, 40, 64, 3), np.uint8)
    for function in (
        lambda: image.ms_ssim(small, small, data_range=255, scales=3),
        lambda: batched.score(small, small, ["ms_ssim"], scales=3),
    ):
        with pytest.raises(ValueError, match="smaller than 41 px"):
            function()


def test_float_pictures_and_unequal_shapes_are_refused(pair):
    real, fake = pair
    with pytest.raises(ValueError, match="uint8"):
        image.psnr(real / 255, fake)
    with pytest.raises(ValueError, match="differ"):
        image.l1(real, fake[:, :40])
    with pytest.raises(TypeError):
        image.ssim(real, fake)  # data_range has no default
    with pytest.raises(ValueError, match="unknown SSIM variant"):
        image.ssim(real, fake, data_range=255, variant="mine")
