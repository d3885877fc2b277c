"""Picture metrics in float64: L1, PSNR, SSIM and their variants, MS-SSIM.

Pictures are RGB, (T, H, W, 3), uint8 unless a function says otherwise; every function gives one value a
frame. `batched` has the fast float32 forms of the headline metrics.
"""

import numpy as np
from scipy import ndimage

PSNR_CAP = 100.0
MS_SSIM_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11  # pixels; Gaussian of sigma 1.5 cut at radius 5
SIGMA = 1.5
K1, K2 = 0.01, 0.03
LUMA_STEP = 16


def check_pair(real: np.ndarray, fake: np.ndarray) -> None:
    """ValueError unless both are uint8 (T, H, W, 3) of one shape."""
    for name, frames in (("real", real), ("fake", fake)):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(
                f"{name} frames are {frames.dtype} {frames.shape}; give uint8 (T, H, W, 3) in 0..255 "
                "(a float picture hides its data range)"
            )
    if real.shape != fake.shape:
        raise ValueError(
            f"real frames {real.shape} and fake frames {fake.shape} differ; bring both to one size"
        )


def luma(frames: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) RGB to uint8 (...) luma .299 R + .587 G + .114 B, rounded (OpenCV RGB2GRAY, 15 bit)."""
    wide = frames.astype(np.int32)
    return ((wide[..., 0] * 9798 + wide[..., 1] * 19235 + wide[..., 2] * 3735 + 16384) >> 15).astype(np.uint8)


def l1(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Mean absolute difference a frame on [0, 1]; (T,). First Order Motion Model and LIA report it so."""
    check_pair(real, fake)
    return np.abs(real.astype(np.float64) / 255 - fake.astype(np.float64) / 255).mean((1, 2, 3))


def l1_255(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Mean absolute difference a frame in grey levels 0..255; (T,)."""
    check_pair(real, fake)
    return np.abs(real.astype(np.float64) - fake.astype(np.float64)).mean((1, 2, 3))


def _decibel(error: np.ndarray, cap: float = PSNR_CAP) -> np.ndarray:
    error = np.asarray(error, np.float64)
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(255.0**2 / error), cap)


def psnr(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """10 log10(255^2 / MSE) a frame over RGB, capped at 100 dB; (T,). Equals skimage with data_range 255."""
    check_pair(real, fake)
    return _decibel(((real.astype(np.float64) - fake.astype(np.float64)) ** 2).mean((1, 2, 3)))


def psnr_pooled(real: np.ndarray, fake: np.ndarray) -> float:
    """PSNR of the clip's mean squared error. Never above the mean of `psnr`: another metric."""
    check_pair(real, fake)
    return float(_decibel(((real.astype(np.float64) - fake.astype(np.float64)) ** 2).mean()))


def psnr_luma(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """PSNR a frame on `luma`; (T,)."""
    check_pair(real, fake)
    return _decibel(((luma(real).astype(np.float64) - luma(fake)) ** 2).mean((1, 2)))


def psnr_atvgnet(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """PSNR a frame as ATVGnet's script has it: luma subtracted and squared in uint8, modulo 256.

    It can't fall under 24.06 dB. For comparison with published figures only; (T,).
    """
    check_pair(real, fake)
    difference = luma(real) - luma(fake)
    return _decibel((difference * difference).astype(np.float64).mean((1, 2)))


def gaussian_window(size: int = WINDOW, sigma: float = SIGMA) -> np.ndarray:
    """Normalised Gaussian, float64 (size,)."""
    x = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (x / sigma) ** 2)
    return weights / weights.sum()


def _gaussian_window_float32() -> np.ndarray:
    """The window as pytorch-ssim makes it: its sum is off by 4e-8, which moves the score by 4e-6."""
    weights = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2).astype(np.float32)
    return (weights / weights.sum()).astype(np.float64)


_WINDOWS = {
    "gaussian": gaussian_window(),
    "gaussian32": _gaussian_window_float32(),
    "uniform7": np.full(7, 1 / 7),
}


def _filter(planes: np.ndarray, window: np.ndarray, mode: str) -> np.ndarray:
    once = ndimage.correlate1d(planes, window, axis=1, mode=mode)
    return ndimage.correlate1d(once, window, axis=2, mode=mode)


def _ssim_maps(x, y, data_range, window, mode, *, sample_covariance=False, clamp=False):
    """SSIM map and contrast-structure map of planes (N, H, W); float64, same size."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_x, mean_y = _filter(x, window, mode), _filter(y, window, mode)
    scale = len(window) ** 2 / (len(window) ** 2 - 1) if sample_covariance else 1.0
    variance_x = scale * (_filter(x * x, window, mode) - mean_x * mean_x)
    variance_y = scale * (_filter(y * y, window, mode) - mean_y * mean_y)
    covariance = scale * (_filter(x * y, window, mode) - mean_x * mean_y)
    if clamp:
        variance_x, variance_y = np.maximum(variance_x, 0), np.maximum(variance_y, 0)
    contrast = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1) * contrast, contrast


# variant: (luma, window, border of the filter, pixels dropped, sample covariance, clamped variances)
SSIM_VARIANTS = {
    "gaussian_rgb": (False, "gaussian", "reflect", 5, False, False),
    "gaussian_luma": (True, "gaussian", "reflect", 5, False, False),
    "uniform7_rgb": (False, "uniform7", "reflect", 3, True, False),
    "uniform7_luma": (True, "uniform7", "reflect", 3, True, False),
    "torchmetrics": (False, "gaussian", "mirror", 0, False, True),
    "pytorch_ssim_zero_pad": (False, "gaussian32", "constant", 0, False, False),
}


def ssim(
    real: np.ndarray, fake: np.ndarray, *, data_range: float, variant: str = "gaussian_rgb"
) -> np.ndarray:
    """Structural similarity, one value a frame; (T,).

    Args:
        real, fake: (T, H, W, 3), any real type; the luma variants need uint8.
        data_range: largest minus smallest possible value (255 for uint8). There is no default: a wrong
            guess moves the score by up to 0.1.
        variant: key of `SSIM_VARIANTS`. `gaussian_rgb` is Wang et al. 2004 on each channel, `uniform7_*` are
            scikit-image's defaults, the last two the habits of torchmetrics and pytorch-ssim.

    Raises:
        ValueError: unknown variant, unequal shapes, or pictures smaller than the window.
    """
    if variant not in SSIM_VARIANTS:
        raise ValueError(f"unknown SSIM variant {variant!r}; there are {', '.join(SSIM_VARIANTS)}")
    if real.shape != fake.shape:
        raise ValueError(
            f"real frames {real.shape} and fake frames {fake.shape} differ; bring both to one size"
        )
    grey, kind, mode, border, sample, clamp = SSIM_VARIANTS[variant]
    window = _WINDOWS[kind]
    if min(real.shape[1:3]) < len(window):
        raise ValueError(
            f"pictures of {real.shape[2]}x{real.shape[1]} are smaller than the {len(window)}-pixel window"
        )
    if grey:
        real, fake = luma(real)[..., None], luma(fake)[..., None]
    values = np.empty(len(real))
    for t in range(len(real)):  # a frame at a time: six float64 maps of a whole clip would not fit
        x, y = np.moveaxis(real[t], -1, 0), np.moveaxis(fake[t], -1, 0)
        full, _ = _ssim_maps(x, y, data_range, window, mode, sample_covariance=sample, clamp=clamp)
        height, width = full.shape[1:]
        values[t] = full[:, border : height - border, border : width - border].mean()
    return values


def ms_ssim_betas(scales: int) -> np.ndarray:
    """The first `scales` of the five published exponents, divided by their sum (five: as published)."""
    if not 1 <= scales <= len(MS_SSIM_BETAS):
        raise ValueError(f"MS-SSIM has 1 to {len(MS_SSIM_BETAS)} scales, not {scales}")
    betas = np.array(MS_SSIM_BETAS[:scales])
    return betas if scales == len(MS_SSIM_BETAS) else betas / betas.sum()


def ms_ssim_smallest(scales: int = 5) -> int:
    """Smallest picture side in pixels that MS-SSIM of so many scales accepts."""
    return (WINDOW - 1) * 2 ** (scales - 1) + 1


def ms_ssim(real: np.ndarray, fake: np.ndarray, *, data_range: float, scales: int = 5) -> np.ndarray:
    """Multi-scale SSIM (Wang et al. 2003, as torchmetrics with `normalize="relu"`), one value a frame; (T,).

    Product over the scales but the last of (contrast-structure)^beta, times SSIM^beta of the last; 2x2
    means between scales; negative means are set to 0 before the power (a power of a negative number is NaN).

    Args:
        scales: 5 is the published metric. Fewer (for small pictures) is another metric: name it in the
            version.

    Raises:
        ValueError: a side below `ms_ssim_smallest(scales)`.
    """
    betas = ms_ssim_betas(scales)
    if real.shape != fake.shape:
        raise ValueError(
            f"real frames {real.shape} and fake frames {fake.shape} differ; bring both to one size"
        )
    if min(real.shape[1:3]) < ms_ssim_smallest(scales):
        raise ValueError(
            f"picture smaller than {ms_ssim_smallest(scales)} px, which MS-SSIM of {scales} scales needs"
        )
    window, border = gaussian_window(), WINDOW // 2
    values = np.empty(len(real))
    for t in range(len(real)):
        x = np.moveaxis(real[t], -1, 0).astype(np.float64) / data_range
        y = np.moveaxis(fake[t], -1, 0).astype(np.float64) / data_range
        value = 1.0
        for scale, beta in enumerate(betas):
            full, contrast = _ssim_maps(x, y, 1.0, window, "mirror", clamp=True)
            if scale == scales - 1:
                value *= max(full.mean(), 0.0) ** beta
            else:
                value *= max(contrast[:, border:-border, border:-border].mean(), 0.0) ** beta
                x, y = _halve(x), _halve(y)
        values[t] = value
    return values


def _halve(planes: np.ndarray) -> np.ndarray:
    """2x2 means of (N, H, W); an odd last row or column is dropped."""
    count, height, width = planes.shape
    even = planes[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(count, height // 2, 2, width // 2, 2).mean((2, 4))
