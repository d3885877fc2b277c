"""Weight files of talkbench: one `.npz` with a tree of arrays and a JSON record of what they are."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

FORMAT = 1
SHIPPED = (
    Path(__file__).parent / "shipped"
)  # what travels with the package: NAME.npz of methods and builtin judges


class CheckpointError(ValueError):
    """A weight file that is missing, damaged or of something else."""


def flatten(tree: dict, prefix: str = "") -> dict[str, np.ndarray]:
    """{"a": {"b": x}} -> {"a/b": x}."""
    flat = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flatten(value, name + "/")
        else:
            flat[name] = np.asarray(value)
    return flat


def unflatten(flat: dict) -> dict:
    """The inverse of `flatten` (empty branches are not kept)."""
    tree: dict = {}
    for name, value in flat.items():
        *folders, leaf = name.split("/")
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        at[leaf] = value
    return tree


def digest(tree: dict) -> str:
    """First 12 hex digits of the sha256 over names, shapes, types and bytes, independent of the container."""
    sha = hashlib.sha256()
    for name, value in sorted(flatten(tree).items()):
        sha.update(f"{name} {value.shape} {value.dtype}".encode())
        sha.update(np.ascontiguousarray(value).tobytes())
    return sha.hexdigest()[:12]


def save(path: Path, tree: dict, meta: dict, half: bool = False) -> str:
    """Write `tree` and `meta` atomically; `half` stores float32 arrays as float16. Returns the digest of what was stored."""
    flat = flatten(tree)
    if half:
        flat = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in flat.items()}
    stored = digest(flat)
    meta = {"format": FORMAT, "digest": stored, **meta}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **{"meta": np.array(json.dumps(meta))}, **{f"tree/{k}": v for k, v in flat.items()}
    )
    partial = path.with_name(path.name + ".tmp")
    partial.write_bytes(buffer.getvalue())
    os.replace(partial, path)
    return stored


def load(path: Path, kind: str | None = None, name: str | None = None) -> tuple[dict, dict]:
    """Read a weight file as (float32 tree, meta).

    Args:
        path: the file.
        kind: "method" or "judge"; refused if the file is of another kind.
        name: name of the method or judge that is wanted; refused if the file is of another.

    Raises:
        CheckpointError: one line that names the file and the remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such checkpoint; train one with `talkbench train` or name another with --checkpoint"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            flat = {k.removeprefix("tree/"): file[k] for k in file.files if k.startswith("tree/")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: damaged, or not a talkbench checkpoint ({error})") from error
    if digest(flat) != meta.get("digest"):
        raise CheckpointError(f"{path}: damaged, its contents do not match the digest it was written with")
    if kind and meta.get("kind") != kind:
        raise CheckpointError(f"{path}: weights of a {meta.get('kind')}, expected a {kind}")
    if name and meta.get("name") != name:
        raise CheckpointError(f"{path}: weights of {meta.get('name')!r}, expected {name!r}")
    return unflatten({k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in flat.items()}), meta
