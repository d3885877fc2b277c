"""Formula weights and inputs of golden files: every array is a function of (seed, name, shape) only.

A golden file lists the keys and shapes of a published checkpoint, and what the published network gave with
weights made by these rules; so no weights travel, and ours are compared with the same numbers. numpy only;
results are exact to the bit.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

_POWER_ITERATIONS = 30


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def tensor(seed: int, key: str, shape: Sequence[int]) -> np.ndarray:
    """A weight or buffer named `key`, in the published layout (out, in, *window); float32, counters int64.

    Two or more axes: normal / sqrt(fan in). One axis: variances 1 + 0.1 |normal|, scales 1 + 0.1 normal, the
    rest 0.1 normal.
    """
    shape = tuple(map(int, shape))
    kind = key.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    normal = _generator(seed, key).standard_normal(shape)
    if len(shape) > 1:
        normal = normal / np.sqrt(np.prod(shape[1:]))
    elif kind == "running_var":
        normal = 1 + 0.1 * np.abs(normal)
    elif kind in ("weight", "gamma", "scale"):
        normal = 1 + 0.1 * normal
    else:
        normal = 0.1 * normal
    return np.asarray(normal, np.float32)


def state_dict(seed: int, shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """All arrays of a network, {key: shape} -> {key: array}, in the order of `shapes`.

    Vectors of spectral normalisation (`weight_u`, `weight_v`) come from 30 power iterations on their
    `weight_orig`.
    """
    arrays = dict.fromkeys(shapes)
    vectors = [key for key in shapes if key.endswith(("weight_u", "weight_v"))]
    for key in arrays.keys() - set(vectors):
        arrays[key] = tensor(seed, key, shapes[key])
    for key in vectors:
        if not key.endswith("weight_u"):
            continue
        stem = key.removesuffix("weight_u")
        u, v = _singular_vectors(arrays[stem + "weight_orig"], _generator(seed, key), int(shapes[key][0]))
        arrays[key] = u
        if stem + "weight_v" in arrays:
            arrays[stem + "weight_v"] = v
    return arrays


def _singular_vectors(weight, generator, rows):
    axis = 0 if len(weight) == rows else 1  # transposed convolutions are normalised over their second axis
    matrix = np.moveaxis(weight.astype(np.float64), axis, 0).reshape(rows, -1)
    u = generator.standard_normal(rows)
    u /= np.linalg.norm(u)
    for _ in range(_POWER_ITERATIONS):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return u.astype(np.float32), v.astype(np.float32)


def array(
    seed: int, name: str, shape: Sequence[int], low: float | None = None, high: float | None = None
) -> np.ndarray:
    """An input: uniform in [low, high] if both are given, else standard normal; float32."""
    generator = _generator(seed, "input:" + name)
    shape = tuple(map(int, shape))
    if low is None or high is None:
        return generator.standard_normal(shape).astype(np.float32)
    return generator.uniform(low, high, shape).astype(np.float32)


def image(seed: int, name: str, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """A smooth input (..., H, W), float32: eight random waves a plane, scaled to [low, high]."""
    *lead, height, width = map(int, shape)
    generator = _generator(seed, "image:" + name)
    y = np.linspace(0, 1, height)[:, None]
    x = np.linspace(0, 1, width)[None, :]
    planes = np.empty((int(np.prod(lead)), height, width))
    for plane in planes:
        waves = np.zeros((height, width))
        for _ in range(8):
            fy, fx = generator.uniform(-6, 6, 2)
            phase, gain = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 1)
            waves += gain * np.sin(2 * np.pi * (fy * y + fx * x) + phase)
        waves = (waves - waves.min()) / (waves.max() - waves.min())
        plane[:] = low + (high - low) * waves
    return planes.reshape(*lead, height, width).astype(np.float32)
