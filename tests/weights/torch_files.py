"""Write torch's own containers without torch, byte for byte as `torch.save` does (zip and legacy forms)."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from contextlib import contextmanager

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "bfloat16": "BFloat16Storage",
}


class FakeTensor:
    """A tensor to be pickled: a flat storage and a strided view of it."""

    def __init__(self, storage, shape=None, strides=None, offset=0, parameter=False):
        self.storage, self.offset, self.parameter = storage, offset, parameter
        self.shape = tuple(shape if shape is not None else (len(storage.values),))
        contiguous = [int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape))]
        self.strides = tuple(strides if strides is not None else contiguous)

    def __reduce__(self):
        utils = sys.modules["torch._utils"]
        if self.parameter:
            plain = FakeTensor(self.storage, self.shape, self.strides, self.offset)
            return utils._rebuild_parameter, (plain, True, collections.OrderedDict())
        arguments = (self.storage, self.offset, self.shape, self.strides, False, collections.OrderedDict())
        return utils._rebuild_tensor_v2, arguments


class FakeStorage:
    def __init__(self, key, values, dtype=None):
        self.key, self.values, self.dtype = key, values, dtype or str(values.dtype)


def tensor(key, array, **options):
    return FakeTensor(FakeStorage(key, array.reshape(-1)), array.shape, **options)


@contextmanager
def fake_torch():
    """Modules `torch` and `torch._utils` that hold the names a checkpoint refers to, for pickling only."""
    torch, utils, storage = (
        types.ModuleType("torch"),
        types.ModuleType("torch._utils"),
        types.ModuleType("torch.storage"),
    )
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):

        def function(*_):
            return None

        function.__module__, function.__qualname__, function.__name__ = "torch._utils", name, name
        setattr(utils, name, function)
    modules = {"torch": torch, "torch._utils": utils, "torch.storage": storage}
    sys.modules.update(modules)
    try:
        yield torch
    finally:
        for name in modules:
            del sys.modules[name]


def _pickle(value, torch, legacy, protocol=2):
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, FakeStorage):
                return None
            storages[item.key] = item
            kind = getattr(torch, STORAGES[item.dtype])
            pid = ("storage", kind, item.key, "cpu", len(item.values))
            return (*pid, None) if legacy else pid

    buffer = io.BytesIO()
    Pickler(buffer, protocol=protocol).dump(value)
    return buffer.getvalue(), storages


def save_zip(path, value, root="archive", byteorder="little"):
    with fake_torch() as torch:
        data, storages = _pickle(value, torch, False)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{root}/data.pkl", data)
        archive.writestr(f"{root}/byteorder", byteorder)
        for key, storage in storages.items():
            values = storage.values if byteorder == "little" else storage.values.byteswap()
            archive.writestr(f"{root}/data/{key}", values.tobytes())
        archive.writestr(f"{root}/version", "3\n")


def save_legacy(path, value):
    with fake_torch() as torch:
        data, storages = _pickle(value, torch, True)
    with open(path, "wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, protocol=2)
        pickle.dump(1001, file, protocol=2)
        system = {
            "protocol_version": 1001,
            "little_endian": True,
            "type_sizes": {"short": 2, "int": 4, "long": 4},
        }
        pickle.dump(system, file, protocol=2)
        file.write(data)
        keys = sorted(storages)
        pickle.dump(keys, file, protocol=2)
        for key in keys:
            file.write(struct.pack("<q", len(storages[key].values)))
            file.write(storages[key].values.tobytes())
