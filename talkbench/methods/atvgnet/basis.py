"""Where a `Shapes` comes from: fitted to a data set, shipped, the published arrays, or inside a trained checkpoint."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from talkbench.methods.atvgnet import shapes
from talkbench.methods.atvgnet.crop import points_of
from talkbench.methods.atvgnet.shapes import ShapeError, Shapes
from talkbench.weights import checkpoint

KIND, NAME = "basis", "atvgnet"
SHIPPED = checkpoint.SHIPPED / "atvgnet_basis.npz"
# The published script's upper limit of landmark sets.
MOST = 80_000
# Of the alignment template, in pixels of its 163-pixel canvas: how large the mean face is drawn, and where its middle is.
_EXTENT, _MIDDLE = (112.0, 109.0), (64.5, 74.5)
_ROUNDS = 3


def fit(views: Iterable, how: str = "plain", seed: int = 0) -> Shapes:
    """Fit a basis to clips: one random frame of each, Procrustes mean, PCA.

    Args:
        views: of clips (`data.view.ClipView`); those without landmarks are passed over.
        how: the normalisation that the codes are for, "plain" or "clip" (see `shapes.normalise`).
        seed: of the choice of frames.

    Raises:
        ShapeError: fewer than two clips with landmarks; an unknown `how`.
    """
    if how not in ("plain", "clip"):
        raise ShapeError(f"normalisation {how!r}: a basis is fitted for plain or clip")
    rng, pairs = np.random.default_rng(seed), []
    for view in views:
        if view.landmarks is None:
            continue
        points = points_of(view.landmarks)
        pairs.append(points[[0, int(rng.integers(len(points)))]])
        if len(pairs) == MOST:
            break
    if len(pairs) < 2:
        raise ShapeError(
            f"{len(pairs)} clips with landmarks: a basis needs two at least; put NAME.landmarks.npz beside the videos"
        )
    pairs = np.stack(pairs)
    reference = shapes.unit(pairs[:, 1]).mean(0)  # upright, since the faces are on the whole
    for _ in range(_ROUNDS):
        reference = shapes.procrustes(pairs[:, 1], reference).mean(0).reshape(-1, 2)
    low, high = reference.min(0), reference.max(0)
    scale = min(np.array(_EXTENT) / (high - low))
    template = (reference - (low + high) / 2) * scale + _MIDDLE
    empty = np.zeros((136, 1)), np.zeros(136)
    table = Shapes(*empty, reference, shapes.unit(reference).reshape(136), template)
    samples = np.stack([shapes.normalise(pair, table, how)[1] for pair in pairs]) / shapes.SCALE
    return shapes.fit(samples, template, reference)


def to_arrays(table: Shapes, codes: int = 136) -> dict[str, np.ndarray]:
    """The arrays of a basis as float32, with `codes` directions."""
    made = {name: getattr(table, name) for name in ("mean", "mean_shape_img", "mean_shape_norm", "base_68")}
    made["U"] = table.U[:, :codes]
    if table.S is not None:
        made["S"] = table.S
    return {name: np.ascontiguousarray(value, np.float32) for name, value in made.items()}


def save(path: Path, table: Shapes, about: dict) -> None:
    """Write a basis atomically; `about` (plain values) says what it was fitted to."""
    checkpoint.save(path, to_arrays(table), {"kind": KIND, "name": NAME, **about})


def read(path: str | Path) -> Shapes:
    """The basis of a file: one that `talkbench basis` wrote, or an .npz with the published arrays by their names.

    "shipped" is the one of the synthetic benchmark.

    Raises:
        ShapeError: no such file, or it holds something else. CheckpointError: it is damaged.
    """
    path = SHIPPED if str(path) == "shipped" else Path(path)
    if not path.is_file():
        raise ShapeError(f"{path}: no such basis; write one with `talkbench basis --data SET -o FILE`")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = None if "meta" in file.files else {name: file[name] for name in file.files}
    except Exception as error:  # numpy and zipfile have their own kinds each
        raise ShapeError(
            f"{path}: no readable .npz ({str(error).splitlines()[0]}); name another basis"
        ) from error
    if arrays is None:
        arrays = checkpoint.load(path, KIND, NAME)[0]
    return shapes.from_arrays(arrays, str(path))
