"""Confidence intervals by resampling clips, or speakers where they repeat."""

from dataclasses import dataclass

import numpy as np

ROUNDS = 1000
LEVEL = (2.5, 97.5)


def resamples(count: int, *, seed: int = 0, rounds: int = ROUNDS) -> np.ndarray:
    """Indices (rounds, count) drawn with replacement by `default_rng(seed)`."""
    return np.random.default_rng(seed).integers(0, count, (rounds, count))


def interval(means: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval (linear) of resampled statistics."""
    low, high = np.percentile(means, LEVEL)
    return float(low), float(high)


def unbiased(value, drawn: np.ndarray) -> np.ndarray:
    """Resampled statistics (B,), moved so that their mean is the statistic of the sample itself.

    For distances of sets (FID, KID): a resample holds some parts twice and is further off than the sample, by a bias
    that can put the value outside its own interval. What stays is the spread.
    """
    drawn = np.asarray(drawn, np.float64)
    return drawn - drawn.mean() + value


def mean_interval(scores: np.ndarray, draws: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high) of one score a clip, (n,), with resamples (B, n)."""
    scores = np.asarray(scores, np.float64)
    return (float(scores.mean()), *interval(scores[draws].mean(1)))


@dataclass(frozen=True)
class Difference:
    """b - a: mean, 95 % interval, two-sided p (share of resamples beyond 0, doubled, at most 1)."""

    mean: float
    low: float
    high: float
    p: float


def paired(a: np.ndarray, b: np.ndarray, draws) -> Difference:
    """Difference of two methods scored on the same clips, on the same resamples.

    Args:
        a, b: (n,) scores of the clips.
        draws: of `resamples`, or of `cluster_draws` where speakers repeat.
    """
    difference = np.asarray(b, np.float64) - np.asarray(a, np.float64)
    if isinstance(draws, np.ndarray):
        means = difference[draws].mean(1)
    else:
        means = np.array([difference[draw].mean() for draw in draws])
    p = min(1.0, 2 * min(float((means <= 0).mean()), float((means >= 0).mean())))
    return Difference(float(difference.mean()), *interval(means), p)


def cluster_draws(clusters, *, seed: int = 0, rounds: int = ROUNDS) -> list[np.ndarray]:
    """Resamples of whole clusters: a list of `rounds` index arrays into the clips.

    Args:
        clusters: (n,) speaker of each clip. With one speaker only, clips are resampled: a single cluster
            has no spread to show.
    """
    names, which = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return list(resamples(len(which), seed=seed, rounds=rounds))
    members = [np.flatnonzero(which == k) for k in range(len(names))]
    return [
        np.concatenate([members[k] for k in row]) for row in resamples(len(names), seed=seed, rounds=rounds)
    ]


def cluster_interval(scores, clusters, *, seed: int = 0, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """(clip mean, low, high), resampling speakers with all their clips."""
    scores = np.asarray(scores, np.float64)
    draws = cluster_draws(clusters, seed=seed, rounds=rounds)
    return (float(scores.mean()), *interval(np.array([scores[d].mean() for d in draws])))


def weighted_mean(scores, weights) -> float:
    """Mean of clip scores weighted by their frames."""
    return float(np.average(np.asarray(scores, np.float64), weights=np.asarray(weights, np.float64)))
