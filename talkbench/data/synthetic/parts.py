"""Pieces of mesh made for one identity, and how they are joined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """A mesh: vertices (V, 3) in head units, triangles (F, 3) counter-clockwise, uv (V, 2)."""

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    two_sided: bool = False


def grid_triangles(rows: int, columns: int, *, closed: bool) -> np.ndarray:
    """Triangles (F, 3) of a grid stored row by row, rows running down and columns to the right seen from
    outside.

    `closed` joins the last column to the first.
    """
    down = np.arange(rows - 1)[:, None] * columns
    right = np.arange(columns if closed else columns - 1)[None]
    next_right = (right + 1) % columns
    a, b = (down + right).ravel(), (down + next_right).ravel()
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])


def join(parts: list[Part]) -> Part:
    """One mesh of several; two_sided is dropped, see two_sided_mask."""
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]]) if parts else []
    if not parts:
        return Part(np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros((0, 2)))
    return Part(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.triangles + offset for part, offset in zip(parts, offsets)]),
        np.concatenate([part.uv for part in parts]),
    )


def two_sided_mask(parts: list[Part]) -> np.ndarray:
    """bool (F,) of the joined triangles."""
    return np.concatenate(
        [np.full(len(part.triangles), part.two_sided) for part in parts] or [np.zeros(0, bool)]
    )
