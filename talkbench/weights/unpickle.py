"""A restricted unpickler: plain containers, numbers, strings, numpy arrays and descriptions of torch tensors.

A pickle is a program. `pickle.Unpickler` runs it, but every callable it can name goes through `find_class`;
here each permitted name leads to a function of this module and every other name is refused, so a file can
neither import nor call anything. Tensors come back as `TensorRef`: where they lie in which storage. Their
bytes are read by `readers`, which knows the container around the pickle.
"""

import io
import pickle
from typing import Any, BinaryIO, NamedTuple

import numpy as np


class UnsafePickle(ValueError):
    """A pickle that names something outside the permitted list."""


# dtypes are kept as names: a name is immutable, and numpy has no bfloat16 (`readers` widens it to float32)
STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
TORCH_DTYPES = {
    "float64": "float64",
    "double": "float64",
    "float32": "float32",
    "float": "float32",
    "float16": "float16",
    "half": "float16",
    "bfloat16": "bfloat16",
    "int64": "int64",
    "long": "int64",
    "int32": "int32",
    "int": "int32",
    "int16": "int16",
    "short": "int16",
    "int8": "int8",
    "uint8": "uint8",
    "bool": "bool",
    "complex64": "complex64",
    "complex128": "complex128",
}


class StorageRef(NamedTuple):
    """A torch storage: `key` names it in its container; `offset` and `count` in elements of `dtype`."""

    key: str
    dtype: str
    count: int
    offset: int = 0


class TensorRef(NamedTuple):
    """A strided view of a storage; `offset` and `strides` in elements of `dtype`."""

    storage: StorageRef
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Sealed(type):
    """A pickle's BUILD opcode sets attributes; a class it can reach must not take any."""

    def __setattr__(cls, name, value):
        raise UnsafePickle(f"the pickle tries to change {cls.__name__}.{name}")


class _Dict(dict, metaclass=_Sealed):
    """OrderedDict, defaultdict, Namespace: a dict. A pickle's attributes are dropped or become items."""

    __slots__ = ()

    def __setstate__(self, state):
        if isinstance(state, dict) and not self:  # a Namespace has nothing but its attributes
            self.update(state)


class _Function(metaclass=_Sealed):
    """A permitted callable. It has no attributes that a pickle could set."""

    __slots__ = ("_call",)

    def __init__(self, call):
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments):
        return self._call(*arguments)

    def __setattr__(self, name, value):
        raise UnsafePickle(f"the pickle tries to set {name!r} of a function")

    def __setstate__(self, state):
        raise UnsafePickle("the pickle tries to change a function")


class _StorageType(metaclass=_Sealed):
    """A storage class of torch as a persistent id names it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        object.__setattr__(self, "dtype", dtype)

    def __setattr__(self, name, value):
        raise UnsafePickle("the pickle tries to change a storage type")

    def __setstate__(self, state):
        raise UnsafePickle("the pickle tries to change a storage type")


class _Array(metaclass=_Sealed):
    """A numpy array being built: `_reconstruct`, then BUILD with version, shape, dtype, order, bytes."""

    __slots__ = ("value",)

    def __init__(self):
        object.__setattr__(self, "value", np.zeros(0, np.uint8))

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        if isinstance(data, list):
            raise UnsafePickle("the pickle holds a numpy array of objects")
        value = np.frombuffer(_bytes(data), _dtype(dtype))
        shape = tuple(int(n) for n in shape)
        object.__setattr__(self, "value", value.reshape(shape, order="F" if fortran else "C"))

    def __setattr__(self, name, value):
        raise UnsafePickle(f"the pickle tries to set {name!r} of an array")


class _Dtype(metaclass=_Sealed):
    """A numpy dtype: name, then BUILD with version, byte order and fields."""

    __slots__ = ("dtype",)

    def __init__(self, name, *_):
        dtype = np.dtype(str(name))
        if dtype.hasobject or dtype.fields:
            raise UnsafePickle(f"the pickle holds numpy values of type {name!r}")
        object.__setattr__(self, "dtype", dtype)

    def __setstate__(self, state):
        order = state[1]
        order = order.decode() if isinstance(order, bytes) else order
        if order in ("<", ">"):
            object.__setattr__(self, "dtype", self.dtype.newbyteorder(order))

    def __setattr__(self, name, value):
        raise UnsafePickle(f"the pickle tries to set {name!r} of a dtype")


def _dtype(value) -> np.dtype:
    if not isinstance(value, _Dtype):
        raise UnsafePickle(f"expected a numpy dtype, found {type(value).__name__}")
    return value.dtype


def _bytes(value) -> bytes:
    return value.encode("latin1") if isinstance(value, str) else bytes(value)  # Python 2 wrote bytes as str


def _scalar(dtype, data):
    return np.frombuffer(_bytes(data), _dtype(dtype))[0]


def _frombuffer(data, dtype, shape, order="C"):
    return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(tuple(int(n) for n in shape), order=order)


def _encode(text, encoding="latin1"):
    if encoding not in ("latin1", "latin-1", "utf-8", "utf8", "ascii"):
        raise UnsafePickle(f"the pickle names the codec {encoding!r}")
    return text.encode(encoding)


def _tensor(storage, offset, shape, strides, *_):
    if not isinstance(storage, StorageRef):
        raise UnsafePickle("a tensor is rebuilt from something that is no storage")
    shape, strides = tuple(int(n) for n in shape), tuple(int(n) for n in strides)
    return TensorRef(storage, storage.dtype, int(offset), shape, strides)


def _tensor_v3(storage, offset, shape, strides, requires_grad, hooks, dtype, *_):
    tensor = _tensor(storage, offset, shape, strides)
    return TensorRef(storage, str(dtype), tensor.offset, tensor.shape, tensor.strides)


def _parameter(data, *_):
    return data


def _from_type(function, kind, arguments, state=None):
    if not isinstance(function, _Function):
        raise UnsafePickle("a tensor is rebuilt by something that is no rebuilding function")
    return function(*arguments)


def _list(items=()):
    return list(items)


def _permitted() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {
        ("torch._utils", "_rebuild_tensor"): _Function(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): _Function(_tensor),
        ("torch._utils", "_rebuild_tensor_v3"): _Function(_tensor_v3),
        ("torch._utils", "_rebuild_parameter"): _Function(_parameter),
        ("torch._utils", "_rebuild_parameter_with_state"): _Function(_parameter),
        ("torch._tensor", "_rebuild_from_type_v2"): _Function(_from_type),
        ("torch", "Tensor"): "Tensor",
        ("torch.nn.parameter", "Parameter"): "Parameter",
        ("torch", "Size"): _Function(lambda items=(): tuple(int(n) for n in items)),
        ("torch", "device"): _Function(lambda *parts: ":".join(str(part) for part in parts)),
        ("torch.serialization", "_get_layout"): _Function(lambda name: str(name)),
        ("collections", "OrderedDict"): _Function(lambda items=(): _Dict(items)),
        ("collections", "defaultdict"): _Function(lambda factory=None, items=(): _Dict(items)),
        ("argparse", "Namespace"): _Dict,
        ("_codecs", "encode"): _Function(_encode),
    }
    for name, dtype in STORAGE_DTYPES.items():
        table["torch", name] = _StorageType(dtype)
        table["torch.cuda", name] = _StorageType(dtype)
        table["torch.storage", name] = _StorageType(dtype)
    for name, dtype in TORCH_DTYPES.items():
        table["torch", name] = dtype
    for module in (
        "numpy",
        "numpy.core.multiarray",
        "numpy._core.multiarray",
        "numpy._core.numeric",
        "numpy.core.numeric",
    ):
        table[module, "dtype"] = _Dtype
        table[module, "ndarray"] = "ndarray"
        table[module, "_reconstruct"] = _Function(lambda *_: _Array())
        table[module, "scalar"] = _Function(_scalar)
        table[module, "_frombuffer"] = _Function(_frombuffer)
    builtins = {
        "set": _Function(_list),
        "frozenset": _Function(_list),
        "list": _Function(_list),
        "dict": _Function(lambda items=(): _Dict(items)),
    }
    for name, value in builtins.items():
        table["builtins", name] = value
        table["__builtin__", name] = value
    return table


_PERMITTED = _permitted()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="latin1")  # never fails, and Python 2 wrote bytes as text
        self.storages: dict[str, str] = {}

    def find_class(self, module, name):
        found = _PERMITTED.get((module, name))
        if found is None:
            if module.startswith(("__torch__", "torch.jit")):
                raise UnsafePickle(f"a TorchScript object ({module}.{name})")
            if module.startswith("torch.nn"):
                raise UnsafePickle(
                    f"a whole module was pickled ({module}.{name}), not its state dict: "
                    "load it where its code is and save model.state_dict()"
                )
            raise UnsafePickle(
                f"the pickle names {module}.{name}, which is not on the list of harmless things"
            )
        return found

    def persistent_load(self, pid):
        if not isinstance(pid, tuple) or not pid or pid[0] != "storage":
            raise UnsafePickle(f"the pickle refers to an unknown kind of object: {str(pid)[:80]}")
        kind, key, count = pid[1], str(pid[2]), int(pid[4])
        if not isinstance(kind, _StorageType):
            raise UnsafePickle("a storage of unknown type")
        self.storages[key] = kind.dtype
        view = (
            pid[5] if len(pid) > 5 else None
        )  # files of 2017 and before: a storage that is part of another one
        if view is not None:
            return StorageRef(key, kind.dtype, int(view[2]), int(view[1]))
        return StorageRef(key, kind.dtype, count)


def load(file: BinaryIO, storages: dict[str, str] | None = None) -> Any:
    """The object of the next pickle in `file`, tensors as `TensorRef`.

    Args:
        file: opened for reading bytes; left behind the pickle.
        storages: gets {key: dtype} of every storage that the pickle mentions.

    Raises:
        UnsafePickle: the pickle names something that is not permitted, or is no valid pickle.
    """
    try:
        unpickler = _Unpickler(file)
        tree = _plain(unpickler.load())
    except UnsafePickle:
        raise
    except Exception as error:  # the unpickler raises whatever a malformed program leads to
        raise UnsafePickle(f"not a readable pickle ({type(error).__name__}: {error})") from None
    if storages is not None:
        storages.update(unpickler.storages)
    return tree


def loads(data: bytes) -> Any:
    """`load` of bytes."""
    return load(io.BytesIO(data))


_UNFINISHED = object()


def _plain(value, seen: dict[int, Any] | None = None, depth: int = 0):
    """Plain containers, numpy objects finished. One inside itself is refused, one met twice is shared."""
    seen = {} if seen is None else seen
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, _Dtype):
        return str(value.dtype)
    if isinstance(value, _Function | _StorageType | type):
        return None
    if isinstance(value, set | frozenset):  # its items can be hashed, so they hold no container to share
        return list(value)
    if isinstance(value, StorageRef | TensorRef) or not isinstance(value, dict | list | tuple):
        return value
    if id(value) in seen:
        if seen[id(value)] is _UNFINISHED:
            raise UnsafePickle("the pickle holds a container inside itself")
        return seen[id(value)]
    if depth > 100:
        raise UnsafePickle("the pickle nests more than 100 containers")
    seen[id(value)] = _UNFINISHED
    if isinstance(value, dict):
        new: Any = {_key(key): _plain(item, seen, depth + 1) for key, item in value.items()}
    elif isinstance(value, list):
        new = [_plain(item, seen, depth + 1) for item in value]
    else:
        new = tuple(_plain(item, seen, depth + 1) for item in value)
    seen[id(value)] = new
    return new


def _key(key):
    return key if isinstance(key, str | int | float | bool | tuple | None) else str(key)
