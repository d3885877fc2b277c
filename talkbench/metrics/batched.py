"""The headline picture metrics for batches, compiled: float32, within 1e-5 of the float64 forms in `image`.

Pictures are uint8 (N, H, W, 3) RGB; every function gives (N,) float32. The evaluator uses these.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from talkbench.metrics.image import K1, K2, PSNR_CAP, WINDOW, gaussian_window, ms_ssim_betas, ms_ssim_smallest

CPU_PIXELS = 2**18  # a batch whose maps stay in the processor's cache takes half the time
ACCELERATOR_PIXELS = 2**23


def _planes(frames):
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 around 0: variances of small numbers lose fewer digits."""
    return jnp.moveaxis(frames, -1, 1).astype(jnp.float32) / 255 - 0.5


def _blur(x, axis):
    """Gaussian window along an axis, no padding (the axis shrinks by 10), symmetric taps added in pairs."""
    window, length = gaussian_window(), x.shape[axis] - WINDOW + 1

    def tap(k):
        return jax.lax.slice_in_dim(x, k, k + length, axis=axis)

    total = tap(WINDOW // 2) * np.float32(window[WINDOW // 2])
    for k in range(WINDOW // 2):
        total += (tap(k) + tap(WINDOW - 1 - k)) * np.float32(window[k])
    return total


def _maps(x, y):
    """SSIM map and contrast-structure map of planes in [-0.5, 0.5], where the window fits."""
    c1, c2 = K1**2, K2**2
    # one array for all four: blurred one by one, XLA's CPU fusion computes the first pass again for each tap
    moments = jnp.concatenate([x, y, x * x + y * y, x * y])
    mean_x, mean_y, squares, product = jnp.split(_blur(_blur(moments, 2), 3), 4)
    variances = squares - mean_x**2 - mean_y**2
    contrast = (2 * (product - mean_x * mean_y) + c2) / (variances + c2)
    light_x, light_y = mean_x + 0.5, mean_y + 0.5
    return (2 * light_x * light_y + c1) / (light_x**2 + light_y**2 + c1) * contrast, contrast


def _l1(real, fake):
    return jnp.abs(real.astype(jnp.float32) - fake.astype(jnp.float32)).mean((1, 2, 3)) / 255


def _psnr(real, fake):
    error = ((real.astype(jnp.float32) - fake.astype(jnp.float32)) ** 2).mean((1, 2, 3))
    return jnp.minimum(10 * jnp.log10(255.0**2 / jnp.maximum(error, 1e-12)), PSNR_CAP)


def _ssim(real, fake):
    return _maps(_planes(real), _planes(fake))[0].mean((1, 2, 3))


def _ms_ssim(real, fake, scales):
    x, y = _planes(real), _planes(fake)
    value = 1.0
    for scale, beta in enumerate(ms_ssim_betas(scales)):
        if scale == scales - 1:
            padded = [jnp.pad(p, ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect") for p in (x, y)]
            value *= jnp.maximum(_maps(*padded)[0].mean((1, 2, 3)), 0) ** beta
        else:
            value *= jnp.maximum(_maps(x, y)[1].mean((1, 2, 3)), 0) ** beta
            x, y = _halve(x), _halve(y)
    return value


def _halve(planes):
    count, channels, height, width = planes.shape
    even = planes[:, :, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(count, channels, height // 2, 2, width // 2, 2).mean((3, 5))


FUNCTIONS = {"l1": _l1, "psnr": _psnr, "ssim": _ssim, "ms_ssim": _ms_ssim}


@partial(jax.jit, static_argnames=("keys", "scales"))
def _score(real, fake, keys, scales):
    return {
        key: _ms_ssim(real, fake, scales) if key == "ms_ssim" else FUNCTIONS[key](real, fake) for key in keys
    }


def score(real: np.ndarray, fake: np.ndarray, keys, *, scales: int = 5) -> dict[str, np.ndarray]:
    """Several metrics of a whole clip, streamed to the device in batches of one shape.

    Args:
        real, fake: uint8 (T, H, W, 3).
        keys: of `FUNCTIONS`: l1 on [0, 1], psnr (capped at 100), ssim (`gaussian_rgb`), ms_ssim.
        scales: of ms_ssim.

    Returns:
        {key: float64 (T,)}.

    Raises:
        ValueError: pictures too small for ssim (11 px) or ms_ssim (`image.ms_ssim_smallest`).
    """
    count, height, width = real.shape[:3]
    keys = tuple(sorted(keys))
    if "ms_ssim" in keys and min(height, width) < ms_ssim_smallest(scales):
        raise ValueError(
            f"picture smaller than {ms_ssim_smallest(scales)} px, which MS-SSIM of {scales} scales needs"
        )
    if "ssim" in keys and min(height, width) < WINDOW:
        raise ValueError(f"picture smaller than {WINDOW} px, which SSIM needs")
    if not keys or not count:
        return {key: np.zeros(0) for key in keys}
    pixels = CPU_PIXELS if jax.default_backend() == "cpu" else ACCELERATOR_PIXELS
    batch = min(max(1, pixels // (height * width)), 1 << (count - 1).bit_length())
    parts = []
    for start in range(0, count, batch):
        a, b = real[start : start + batch], fake[start : start + batch]
        short = batch - len(a)
        if short:  # one shape: the last batch must not be compiled anew
            a, b = (np.concatenate([p, np.repeat(p[-1:], short, 0)]) for p in (a, b))
        parts.append(_score(a, b, keys, scales))
    values = {k: np.concatenate([np.asarray(p[k], np.float64) for p in parts])[:count] for k in keys}
    same = np.array([np.array_equal(a, b) for a, b in zip(real, fake)])
    for key in {"ssim", "ms_ssim"}.intersection(keys):
        values[key][same] = 1.0  # float32 leaves 1 - 1e-8
    return values
