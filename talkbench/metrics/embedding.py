"""Metrics on identity vectors: AED and CSIM."""

import numpy as np


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows of (T, d) divided by their L2 norms."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def squared_distance(real: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Squared L2 distance of rows as they are given; (T,)."""
    return ((np.asarray(real, np.float64) - np.asarray(fake, np.float64)) ** 2).sum(-1)


def aed(real: np.ndarray, fake: np.ndarray) -> float:
    """Average Euclidean distance of pose-evaluation: mean *squared* distance of L2-normalised vectors."""
    return float(squared_distance(normalised(real), normalised(fake)).mean())


def aed_root(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean distance (not squared) of L2-normalised vectors."""
    return float(np.sqrt(squared_distance(normalised(real), normalised(fake))).mean())


def csim(real: np.ndarray, fake: np.ndarray) -> float:
    """Mean cosine of fake (T, d) with real (T, d), or with one source vector (1, d)."""
    return float((normalised(real) * normalised(fake)).sum(-1).mean())
