"""Weight files of talkbench: one `.npz` with a tree of arrays and a JSON record of what they are."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from talkbench.atomic import write_bytes

FORMAT = 1
SHIPPED = (
    Path(__file__).parent / "shipped"
)  # what travels with the package: NAME.npz of methods and builtin judges


class CheckpointError(ValueError):
    """A weight file that is missing, damaged or of something else."""


def flatten(tree: dict, prefix: str = "") -> dict[str, np.ndarray]:
    """{"a": {"b": x, "c": {}}} -> {"a/b": x, "a/c/": an empty array}."""
    flat = {} if tree or not prefix else {prefix: np.zeros(0, np.float32)}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flatten(value, name + "/")
        else:
            flat[name] = np.asarray(value)
    return flat


def unflatten(flat: dict) -> dict:
    """The inverse of `flatten`."""
    tree: dict = {}
    for name, value in flat.items():
        *folders, leaf = name.split("/")
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        if leaf:
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
    """Write `tree` and `meta` atomically. Returns the digest of what was stored.

    Args:
        half: store float32 arrays as float16, but for those with a value beyond its range.

    Raises:
        OSError: the file cannot be written; names it.
    """
    flat = {name: _storable(value, half) for name, value in flatten(tree).items()}
    stored = digest(flat)
    meta = {"format": FORMAT, **meta, "digest": stored}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **{"meta": np.array(json.dumps(meta))}, **{f"tree/{k}": v for k, v in flat.items()}
    )
    write_bytes(path, buffer.getvalue())
    return stored


def _storable(value: np.ndarray, half: bool) -> np.ndarray:
    if value.dtype.kind == "V":  # bfloat16, which the container does not know
        value = value.astype(np.float32)
    if half and value.dtype == np.float32 and np.abs(value).max(initial=0) <= np.finfo(np.float16).max:
        return value.astype(np.float16)
    return value


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
        if not isinstance(meta, dict):
            raise ValueError("no record of what it is")
    except Exception as error:  # numpy, zipfile, zlib and json have their own kinds each
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: damaged, or not a talkbench checkpoint ({reason}); train it again, or make a published one into one: "
            "talkbench weights import --method NAME FILE"
        ) from error
    if digest(flat) != meta.get("digest"):
        raise CheckpointError(
            f"{path}: damaged, its contents do not match the digest it was written with; train or fetch it again"
        )
    if meta.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: of format {meta.get('format')}, this talkbench reads {FORMAT}; update talkbench"
        )
    if kind and meta.get("kind") != kind:
        raise CheckpointError(
            f"{path}: weights of a {meta.get('kind')}, expected a {kind}; name another file"
        )
    if name and meta.get("name") != name:
        raise CheckpointError(
            f"{path}: weights of {meta.get('name')!r}, expected {name!r}; name another file"
        )
    return unflatten({k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in flat.items()}), meta
