"""CPBD, cumulative probability of blur detection (Narvekar and Karam 2011).

As package cpbd 1.0.7 and as ATVGnet's script compute it, both on luma pictures (H, W) in 64x64 blocks. It
depends on resolution: compare at 256x256 only.
"""

import numpy as np
from scipy import ndimage

BLOCK = 64
EDGE_SHARE = 0.002  # of a block's pixels
BETA = 3.6
LOW, HIGH = 0.1, 0.2  # hysteresis; absolute on 0..255 floats, as both programs call Canny
LONGEST = 101


def canny(image: np.ndarray) -> np.ndarray:
    """Edges (H, W) bool of a float picture: Gaussian sigma 1, Sobel, thinning along the gradient, hysteresis.

    Equals scikit-image's `feature.canny` with its defaults on float input.
    """
    image = np.asarray(image)
    epsilon = np.finfo(image.dtype).eps
    smooth = ndimage.gaussian_filter(image, 1.0, mode="constant", truncate=4.0)
    smooth = smooth / (
        ndimage.gaussian_filter(np.ones_like(image), 1.0, mode="constant", truncate=4.0) + epsilon
    )
    down, right = ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1)
    strength = np.sqrt(down * down + right * right)
    thin = _ridge(strength, down, right) & (strength >= LOW)
    labels, count = ndimage.label(thin, np.ones((3, 3), bool))
    strong = np.zeros(count + 1, bool)
    strong[np.unique(labels[thin & (strength >= HIGH)])] = True
    strong[0] = False
    return strong[labels]


def _ridge(strength, down, right):
    """Where the strength is no smaller than its interpolated neighbours along the gradient; borders False."""
    padded = np.pad(strength, 1)

    def neighbour(rows, columns):
        height, width = strength.shape
        return padded[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    steep, flat = np.abs(down), np.abs(right)
    same = ((down >= 0) & (right >= 0)) | ((down <= 0) & (right <= 0))  # gradient along the main diagonal
    vertical = np.where(same, steep > flat, steep >= flat)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(vertical, flat / steep, steep / flat)
    weight = np.nan_to_num(weight, nan=0.0, posinf=0.0)
    keep = np.ones(strength.shape, bool)
    for sign in (1, -1):
        straight = np.where(vertical, neighbour(sign, 0), neighbour(0, sign))
        mirrored = np.where(vertical, neighbour(-sign, 0), neighbour(0, sign))
        straight = np.where(same, straight, mirrored)
        diagonal = np.where(same, neighbour(sign, sign), neighbour(-sign, sign))
        keep &= diagonal * weight + straight * (1 - weight) <= strength
    keep[[0, -1], :] = False
    keep[:, [0, -1]] = False
    return keep


def _runs(steps: np.ndarray, towards: int) -> np.ndarray:
    """Length of the run of True in `steps` (H, W-1) that begins at a column and goes left (-1) or right (+1).

    steps[c] compares columns c and c+1. Result (H, W): at column c the run over steps c, c+1, ... (right) or
    c-1, c-2, ... (left).
    """
    height, count = steps.shape
    runs = np.zeros((height, count + 1), np.int32)
    if towards > 0:
        for c in range(count - 1, -1, -1):
            runs[:, c] = np.where(steps[:, c], runs[:, c + 1] + 1, 0)
    else:
        for c in range(1, count + 1):
            runs[:, c] = np.where(steps[:, c - 1], runs[:, c - 1] + 1, 0)
    return runs


def edge_widths(image: np.ndarray, edges: np.ndarray, *, ties: bool, flat_is_none: bool) -> np.ndarray:
    """Widths of vertical edges by Marziliano et al. 2002, (H, W) int, 0 elsewhere.

    The gradient's direction is rounded to multiples of 45 degrees (half to even); only 0 and +-180 count,
    and a pixel with no horizontal gradient counts as 0, as in both programs.

    Args:
        ties: ATVGnet's rule: on falling edges the right side goes on over equal grey levels.
        flat_is_none: no width at all where every direction is exactly 0 (cpbd 1.0.7).
    """
    down, right = np.gradient(image)
    angle = np.where(right != 0, np.degrees(np.arctan2(down, right)), 0.0)
    widths = np.zeros(image.shape, np.int32)
    if flat_is_none and not angle.any():
        return widths
    angle = 45 * np.round(angle / 45)
    step = np.diff(image, axis=1)  # step[c] = image[c+1] - image[c]
    rising, falling = step > 0, step < 0
    level_or_falling = step <= 0

    def side(steps, towards):
        runs = np.minimum(_runs(steps, towards), LONGEST - 1)
        shifted = np.zeros_like(runs)
        if towards > 0:
            shifted[:, :-1] = runs[:, 1:]
        else:
            shifted[:, 1:] = runs[:, :-1]
        return shifted + 1

    to_right = side(rising, 1) + side(rising, -1)
    to_left = side(level_or_falling if ties else falling, 1) + side(falling, -1)
    inside = np.zeros(image.shape, bool)
    inside[1:-1, 1:-1] = True
    counted = edges & inside
    widths[counted & (angle == 0)] = to_right[counted & (angle == 0)]
    turned = counted & (np.abs(angle) == 180)
    widths[turned] = to_left[turned]
    return widths


def _score(image, widths, bins):
    canny_edges = canny(image)
    histogram = np.zeros(101)
    for top in range(0, image.shape[0] // BLOCK * BLOCK, BLOCK):
        for left in range(0, image.shape[1] // BLOCK * BLOCK, BLOCK):
            block = (slice(top, top + BLOCK), slice(left, left + BLOCK))
            if canny_edges[block].sum() <= BLOCK * BLOCK * EDGE_SHARE:
                continue
            contrast = int(image[block].max() - image[block].min())
            noticeable = 5.0 if contrast <= 50 else 3.0
            wide = widths[block][widths[block] != 0]
            probability = 1 - np.exp(-((wide / noticeable) ** BETA))
            histogram += np.bincount(np.round(probability * 100).astype(int), minlength=101)
    return float(histogram[:bins].sum() / histogram.sum()) if histogram.sum() else 0.0


def _vertical_edge_strength(image):
    return ndimage.correlate(image, np.outer([1, 2, 1], [1, 0, -1]) / 8.0, mode="reflect") ** 2


def cpbd(image: np.ndarray) -> float:
    """Sharpness in [0, 1] of a luma picture (H, W), as cpbd 1.0.7: share of edges with unnoticed blur."""
    image = np.asarray(image, np.float64)
    strength = _vertical_edge_strength(image)
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    ringed = np.pad(strength, 1)
    ridge_x = (strength > ringed[1:-1, :-2]) & (strength > ringed[1:-1, 2:])
    ridge_y = (strength > ringed[:-2, 1:-1]) & (strength > ringed[2:, 1:-1])
    return _score(image, edge_widths(image, ridge_x | ridge_y, ties=False, flat_is_none=True), 64)


def cpbd_atvgnet(image: np.ndarray) -> float:
    """CPBD of ATVGnet's script: fixed threshold, no thinning, other ties, one bin less; reads far lower."""
    image = np.asarray(image, np.float32)
    edges = _vertical_edge_strength(image) > 4.0
    return _score(image, edge_widths(image, edges, ties=True, flat_is_none=False), 63)
