"""Distances of feature sets: FID, FID-infinity, KID. Features are (n, d), a row a picture; all in float64."""

import numpy as np

SMALLEST = 2048  # rows below which FID (and the line of FID-infinity) says more of the sample size than of the pictures


def _statistics(features: np.ndarray):
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features {features.shape}: at least two rows (n, d) are needed")
    return features.mean(0), np.cov(features, rowvar=False).reshape(features.shape[1], -1)


def frechet(mean_a, covariance_a, mean_b, covariance_b) -> float:
    """Frechet distance of two Gaussians (Heusel et al. 2017).

    The trace of (A B)^(1/2) is the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), which is
    symmetric: no complex residue, and it works with fewer samples than dimensions.
    """
    return _from(mean_a, covariance_a)(mean_b, covariance_b)


def _from(mean_a, covariance_a):
    """`f(mean, covariance)`: the distance from a fixed Gaussian, whose root is taken once."""
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def distance(mean_b, covariance_b) -> float:
        product = root @ covariance_b @ root
        eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
        trace = np.sqrt(np.maximum(eigenvalues, 0)).sum()
        spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * trace
        return max(0.0, float(((mean_a - mean_b) ** 2).sum() + spread))  # rounding may leave it just below 0

    return distance


def fid(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of the Gaussians fitted to features (n, d) and (m, d); covariance divisor n - 1."""
    return frechet(*_statistics(a), *_statistics(b))


def fid_infinity(a, b, permutation, *, smallest: int, points: int = 15):
    """FID without its small-sample bias (Chong and Forsyth 2020): a line in 1/n, its value at 0.

    Args:
        permutation: a fixed order of b's rows; sample sizes take its beginning.
        smallest: first of `points` sample sizes, evenly spaced up to len(permutation).

    Returns:
        (sizes (points,), FID at each (points,), slope, intercept); the intercept is FID-infinity.
    """
    sizes = np.linspace(smallest, len(permutation), points).astype(int)
    distance = _from(*_statistics(a))
    values = np.array([distance(*_statistics(np.asarray(b)[permutation[:n]])) for n in sizes])
    slope, intercept = np.polyfit(1 / sizes, values, 1)
    return sizes, values, float(slope), float(intercept)


def fid_infinity_of(a: np.ndarray, b: np.ndarray) -> float:
    """FID-infinity of two sets of features as the tables have it: b's rows in a fixed random order, 15 sizes from a fifth of
    them (5000 at most) to all.
    """
    order = np.random.default_rng(0).permutation(len(b))
    return fid_infinity(a, b, order, smallest=max(2, min(5000, len(b) // 5)))[-1]


def _kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD with the kernel (x.y/d + 1)^3 (Binkowski et al. 2018); sets may differ in size.

    May be negative. Tables print it times 1000.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(a), len(b)) < 2:
        raise ValueError("KID needs at least two rows on each side")
    within = 0.0
    for x in (a, b):
        k = _kernel(x, x)
        within += (k.sum() - np.trace(k)) / (len(x) * (len(x) - 1))
    return float(within - 2 * _kernel(a, b).mean())


def kid_subsets(a, b, *, subsets: int = 100, size: int = 1000, seed: int = 2020) -> tuple[float, float]:
    """KID as torch-fidelity estimates it: (mean, population standard deviation) over random subsets.

    Each subset is drawn without replacement by numpy's legacy RandomState(seed), first from a, then from b.
    """
    if min(len(a), len(b)) < size:
        raise ValueError(
            f"KID subsets of {size} need as many rows; there are {len(a)} and {len(b)}: use `kid`"
        )
    a, b = np.asarray(a), np.asarray(b)
    draw = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        rows_a = draw.choice(len(a), size, replace=False)
        rows_b = draw.choice(len(b), size, replace=False)
        values.append(kid(a[rows_a], b[rows_b]))
    return float(np.mean(values)), float(np.std(values))
