"""Read weight files without torch and without running anything that is in them.

`read` gives a file's content as plain containers of numpy arrays; `state_dict` gives one network's flat
`{key: array}`. The kind of a file is found from its first bytes, never from its name (`.pth`, `.pth.tar`,
`.pkl`, `.model`, `.pt` all occur in public checkpoints).
"""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from talkbench.weights import unpickle
from talkbench.weights.unpickle import StorageRef, TensorRef

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "params")


class WeightsFileError(ValueError):
    """A weight file that cannot be read; the message names the file and the remedy."""


def read(path: str | Path, entry: str | None = None) -> Any:
    """A weight file as plain dicts, lists and numpy arrays.

    Args:
        path: torch zip archive, torch legacy file, plain pickle with numpy arrays, `.safetensors`, `.h5`,
            `.npz`.
        entry: keys to follow from the top, joined by "/" (`"generator"`, `"model/net"`); only this part's
            tensors are read from disk. None: everything.

    Returns:
        The content. bfloat16 becomes float32 (exactly); other types stay as they are. h5 and npz files give
        a flat dict, h5 keys being `group/dataset`.

    Raises:
        WeightsFileError: a missing, damaged, unsafe or unknown file, or an entry that it does not have.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsFileError(f"{path}: cannot be opened ({error.strerror or error})") from None
    try:
        return _reader(path, head)(path, entry)
    except unpickle.UnsafePickle as error:
        raise WeightsFileError(f"{path}: refused: {error}") from None
    except WeightsFileError:
        raise
    except (OSError, ValueError, KeyError, EOFError, struct.error, zipfile.BadZipFile) as error:
        raise WeightsFileError(f"{path}: damaged ({error}); download or copy it again") from None


def state_dict(path: str | Path, entry: str | None = None) -> dict[str, np.ndarray]:
    """One network of a weight file as a flat `{key: array}`, keys as torch writes them.

    A wrapping dict (`{"state_dict": ..., "epoch": ...}`) is opened, nested dicts are joined with ".", a
    `module.` that all keys carry (DataParallel) is taken off, entries that are no arrays are left out.

    Args:
        path: as in `read`.
        entry: which part, where the file holds several networks (see `read`).

    Raises:
        WeightsFileError: as `read`; also where no arrays are found, or several wrappers could be meant.
    """
    tree = read(path, entry)
    while isinstance(tree, dict) and not any(isinstance(value, np.ndarray) for value in tree.values()):
        inner = [name for name in _WRAPPERS if isinstance(tree.get(name), dict)]
        if len(inner) != 1:
            break
        tree = tree[inner[0]]
    arrays = flatten(tree)
    if not arrays:
        raise WeightsFileError(
            f"{path}: no arrays in {entry or 'it'}; entries: {', '.join(_names(tree)) or 'none'}"
        )
    if all(key.startswith("module.") for key in arrays):
        arrays = {key[len("module.") :]: array for key, array in arrays.items()}
    return arrays


def flatten(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of nested dicts, keys joined with "."; whatever is no array is left out."""
    if isinstance(tree, np.ndarray):
        return {prefix: tree}
    arrays = {}
    if isinstance(tree, dict):
        for key, value in tree.items():
            arrays.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return arrays


def _names(tree) -> list[str]:
    return [str(key) for key in tree][:20] if isinstance(tree, dict) else []


def _reader(path: Path, head: bytes) -> Callable[[Path, str | None], Any]:
    if head.startswith(b"PK\x03\x04"):
        return _read_zip
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _read_h5
    if head[:1] == b"\x80":
        return _read_pickle
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 30:
        return _read_safetensors
    if head[257:262] == b"ustar":
        raise WeightsFileError(f"{path}: a tar archive: extract it and name the weight file inside")
    if head.lstrip()[:1] == b"<":
        raise WeightsFileError(f"{path}: a web page, not a weight file: the download needs a browser")
    raise WeightsFileError(f"{path}: no known weight file (torch, pickle, safetensors, h5, npz)")


def _select(path: Path, tree: Any, entry: str | None) -> Any:
    for name in entry.split("/") if entry else ():
        if not isinstance(tree, dict) or name not in tree:
            raise WeightsFileError(
                f"{path}: no entry {name!r}; it has {', '.join(_names(tree)) or 'no entries'}"
            )
        tree = tree[name]
    return tree


# torch


def _read_zip(path: Path, entry: str | None) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if names and all(name.endswith(".npy") for name in names):
            return _read_npz(path, entry)
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if not pickles:
            inside = ", ".join(names[:3])
            raise WeightsFileError(
                f"{path}: a zip archive without torch data ({inside} ...): extract it first"
            )
        root = pickles[0][: -len("data.pkl")]
        if root + "constants.pkl" in names or any(name.startswith(root + "code/") for name in names):
            raise WeightsFileError(
                f"{path}: a TorchScript archive, a program: load it in torch and save its state_dict()"
            )
        order = "<"
        if root + "byteorder" in names:
            order = ">" if archive.read(root + "byteorder").strip() == b"big" else "<"
        tree = _select(path, unpickle.loads(archive.read(pickles[0])), entry)

        def storage(ref: StorageRef) -> bytes:
            name = f"{root}data/{ref.key}"
            size = archive.getinfo(name).file_size
            if size < (ref.offset + ref.count) * _itemsize(ref.dtype):
                raise WeightsFileError(
                    f"{path}: storage {ref.key} has {size} bytes, {ref.count} elements are declared"
                )
            return archive.read(name)

        return _fill(path, tree, storage, order)


def _read_pickle(path: Path, entry: str | None) -> Any:
    with path.open("rb") as file:
        first = unpickle.load(file)
        if first != LEGACY_MAGIC:
            return _fill(path, _select(path, first, entry), None, "<")
        unpickle.load(file)  # protocol version
        system = unpickle.load(file)
        order = "<" if not isinstance(system, dict) or system.get("little_endian", True) else ">"
        dtypes: dict[
            str, str
        ] = {}  # the storages' own headers have a count only; their types stand in the pickle
        tree = unpickle.load(file, dtypes)
        keys = [str(key) for key in unpickle.load(file)]
        places = _legacy_places(path, file, keys, dtypes)
        tree = _select(path, tree, entry)

        def storage(ref: StorageRef) -> bytes:
            if ref.key not in places:
                raise WeightsFileError(f"{path}: storage {ref.key} is not in the file")
            start, count = places[ref.key]
            if ref.offset + ref.count > count:
                raise WeightsFileError(
                    f"{path}: storage {ref.key} has {count} elements, {ref.count} are declared"
                )
            file.seek(start)
            data = file.read(count * _itemsize(ref.dtype))
            if len(data) < count * _itemsize(ref.dtype):
                raise WeightsFileError(f"{path}: ends inside storage {ref.key}: download or copy it again")
            return data

        return _fill(path, tree, storage, order)


def _legacy_places(
    path: Path, file: BinaryIO, keys: list[str], dtypes: dict[str, str]
) -> dict[str, tuple[int, int]]:
    places = {}
    for key in keys:
        if key not in dtypes:
            raise WeightsFileError(f"{path}: storage {key} has no known type")
        count = struct.unpack("<q", file.read(8))[0]
        if count < 0:
            raise WeightsFileError(f"{path}: storage {key} has a negative length")
        places[key] = (file.tell(), count)
        file.seek(count * _itemsize(dtypes[key]), 1)
    return places


def _fill(path: Path, tree: Any, storage: Callable[[StorageRef], bytes] | None, order: str) -> Any:
    """The tree with arrays in place of tensor references. Arrays of one storage share its memory."""
    loaded: dict[str, bytes] = {}

    def data(ref: StorageRef) -> bytes:
        if storage is None:
            raise WeightsFileError(f"{path}: a pickle with torch tensors, but no torch file around it")
        if ref.key not in loaded:
            loaded[ref.key] = storage(ref)
        return loaded[ref.key]

    def fill(value):
        if isinstance(value, TensorRef):
            return _tensor(path, value, data(value.storage), order)
        if isinstance(value, StorageRef):
            flat = TensorRef(value, value.dtype, 0, (value.count,), (1,))
            return _tensor(path, flat, data(value), order)
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, tuple):
            return tuple(fill(item) for item in value)
        return value

    return fill(tree)


def _tensor(path: Path, ref: TensorRef, data: bytes, order: str) -> np.ndarray:
    values = _values(data, ref.dtype, order)
    start = ref.storage.offset + ref.offset
    if min((*ref.shape, *ref.strides, ref.offset, ref.storage.offset), default=0) < 0 or len(
        ref.shape
    ) != len(ref.strides):
        raise WeightsFileError(
            f"{path}: a tensor of shape {ref.shape} with strides {ref.strides} is malformed"
        )
    last = start + sum((n - 1) * stride for n, stride in zip(ref.shape, ref.strides))
    if 0 in ref.shape:
        return np.zeros(ref.shape, values.dtype)
    if last >= len(values) or np.prod(ref.shape, dtype=object) > max(len(values), 1 << 24):
        raise WeightsFileError(f"{path}: a tensor of shape {ref.shape} reaches outside its storage")
    strides = [stride * values.itemsize for stride in ref.strides]
    return np.lib.stride_tricks.as_strided(values[start:], ref.shape, strides, writeable=False)


def _itemsize(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _values(data: bytes, dtype: str, order: str) -> np.ndarray:
    """Flat values of raw bytes; bfloat16 widened to float32."""
    size = _itemsize(dtype)
    data = memoryview(data)[: len(data) // size * size]
    if dtype == "bfloat16":
        upper = np.frombuffer(data, np.dtype("uint16").newbyteorder(order)).astype(np.uint32)
        return (upper << 16).view(np.float32)
    values = np.frombuffer(data, np.dtype(dtype).newbyteorder(order))
    return values.astype(np.dtype(dtype), copy=False)


# other containers


def _read_safetensors(path: Path, entry: str | None) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        base, arrays = 8 + length, {}
        for name, row in header.items():
            if name == "__metadata__" or entry and not name.startswith(entry + "."):
                continue
            if row["dtype"] not in _SAFETENSORS_DTYPES:
                raise WeightsFileError(f"{path}: {name} has type {row['dtype']}, which is not supported")
            dtype, (start, stop) = _SAFETENSORS_DTYPES[row["dtype"]], row["data_offsets"]
            shape = tuple(int(n) for n in row["shape"])
            if start < 0 or stop - start != int(np.prod(shape, dtype=object)) * _itemsize(dtype):
                raise WeightsFileError(
                    f"{path}: {name} is declared {shape} {dtype} but has {stop - start} bytes"
                )
            file.seek(base + start)
            data = file.read(stop - start)
            if len(data) != stop - start:
                raise WeightsFileError(f"{path}: ends inside {name}: download or copy it again")
            arrays[name[len(entry) + 1 :] if entry else name] = _values(data, dtype, "<").reshape(shape)
    return arrays


def _read_h5(path: Path, entry: str | None) -> dict[str, np.ndarray]:
    import h5py  # slow to import, and rarely needed

    arrays: dict[str, np.ndarray] = {}

    def visit(name: str, item) -> None:  # visititems follows no soft or external link
        if isinstance(item, h5py.Dataset):
            if item.dtype.hasobject or item.dtype.fields or item.external:
                raise WeightsFileError(f"{path}: {name} is no plain array stored in this file")
            arrays[name] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        if entry and not isinstance(file.get(entry, getlink=True), h5py.HardLink):
            raise WeightsFileError(f"{path}: no entry {entry!r}; it has {', '.join(list(file)[:20])}")
        (file[entry] if entry else file).visititems(visit)
    return arrays


def _read_npz(path: Path, entry: str | None) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        names = [name for name in file.files if not entry or name.startswith((entry + "/", entry + "."))]
        return {name[len(entry) + 1 :] if entry else name: file[name] for name in names}
