import argparse
import collections
import io
import json
import os
import pickle
import struct
import zipfile

import h5py
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_files import FakeStorage, FakeTensor, save_legacy, save_zip, tensor

from talkbench.weights import unpickle
from talkbench.weights.readers import WeightsFileError, flatten, read, state_dict

SAVERS = pytest.mark.parametrize("save", [save_zip, save_legacy])
rng = np.random.default_rng(0)


def weights():
    return {
        "conv.weight": rng.standard_normal((4, 3, 2, 2)).astype(np.float32),
        "conv.bias": rng.standard_normal(4).astype(np.float16),
        "bn.num_batches_tracked": np.array(7, np.int64),
        "mask": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
    }


def tensors(arrays):
    return collections.OrderedDict(
        (key, tensor(str(i), array)) for i, (key, array) in enumerate(arrays.items())
    )


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype and a[key].shape == b[key].shape, key
        np.testing.assert_array_equal(a[key], b[key])


@SAVERS
def test_round_trip(save, tmp_path):
    arrays = weights()
    save(tmp_path / "w.pkl", tensors(arrays))
    assert_same(state_dict(tmp_path / "w.pkl"), arrays)


@SAVERS
def test_wrapped_and_data_parallel(save, tmp_path):
    arrays = weights()
    prefixed = {"module." + key: value for key, value in arrays.items()}
    wrapped = {
        "epoch": 3,
        "best": np.float64(0.5),
        "arch": "FAN",
        "opt": argparse.Namespace(lr=1e-3, names=["a"]),
        "state_dict": tensors(prefixed),
        "optimizer": {
            "state": {0: {"exp_avg": tensor("o", np.ones(3, np.float32))}},
            "param_groups": [{"lr": 0.1}],
        },
    }
    save(tmp_path / "w.pth.tar", wrapped)
    assert_same(state_dict(tmp_path / "w.pth.tar"), arrays)
    tree = read(tmp_path / "w.pth.tar")
    assert tree["epoch"] == 3 and tree["best"] == 0.5 and tree["opt"] == {"lr": 1e-3, "names": ["a"]}
    np.testing.assert_array_equal(tree["optimizer"]["state"][0]["exp_avg"], np.ones(3))


@SAVERS
def test_several_networks(save, tmp_path):
    a, b = weights(), weights()
    both = {"generator": tensors(a), "kp_detector": {k: tensor("b" + k, v) for k, v in b.items()}}
    save(tmp_path / "w.pth", both)
    assert_same(state_dict(tmp_path / "w.pth", "kp_detector"), b)
    assert set(state_dict(tmp_path / "w.pth")) == {f"generator.{k}" for k in a} | {
        f"kp_detector.{k}" for k in b
    }
    with pytest.raises(WeightsFileError, match="no entry 'discriminator'; it has generator, kp_detector"):
        state_dict(tmp_path / "w.pth", "discriminator")


@SAVERS
def test_shared_storage_strides_and_parameters(save, tmp_path):
    storage = FakeStorage("0", np.arange(24, dtype=np.float32))
    views = {
        "whole": FakeTensor(storage, (4, 6)),
        "transposed": FakeTensor(storage, (6, 4), (1, 6)),
        "part": FakeTensor(storage, (2, 3), (6, 1), offset=8),
        "expanded": FakeTensor(storage, (5, 2), (0, 1), offset=3, parameter=True),
        "scalar": FakeTensor(storage, (), (), offset=23),
    }
    save(tmp_path / "w.pth", views)
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    expected = {
        "whole": whole,
        "transposed": whole.T,
        "part": whole[1:3, 2:5],
        "expanded": np.tile(np.float32([3, 4]), (5, 1)),
        "scalar": np.float32(23),
    }
    found = state_dict(tmp_path / "w.pth")
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)
    assert np.shares_memory(found["whole"], found["part"])


def test_bfloat16_and_byte_order(tmp_path):
    values = rng.standard_normal(6).astype(ml_dtypes.bfloat16)
    save_zip(tmp_path / "b.pth", {"w": FakeTensor(FakeStorage("0", values, "bfloat16"))})
    found = state_dict(tmp_path / "b.pth")["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))
    big = rng.standard_normal(6).astype(np.float32)
    save_zip(tmp_path / "big.pth", {"w": tensor("0", big)}, byteorder="big")
    np.testing.assert_array_equal(state_dict(tmp_path / "big.pth")["w"], big)


def test_only_the_entry_is_read(tmp_path):
    save_zip(
        tmp_path / "w.pth",
        {"a": {"x": tensor("0", np.ones(2, np.float32))}, "b": {"y": tensor("1", np.ones(3))}},
    )
    with zipfile.ZipFile(tmp_path / "w.pth") as full, zipfile.ZipFile(tmp_path / "half.pth", "w") as half:
        for name in full.namelist():
            if name != "archive/data/1":
                half.writestr(name, full.read(name))
    np.testing.assert_array_equal(state_dict(tmp_path / "half.pth", "a")["x"], np.ones(2))
    with pytest.raises(WeightsFileError, match="damaged"):
        read(tmp_path / "half.pth")


@SAVERS
@pytest.mark.parametrize(
    "shape, strides, offset",
    [((5,), (1,), 0), ((2, 2), (1, 3), 0), ((1,), (1,), 4), ((2,), (-1,), 1), ((2,), (1, 1), 0)],
)
def test_tensor_outside_its_storage(save, shape, strides, offset, tmp_path):
    storage = FakeStorage("0", np.zeros(4, np.float32))
    save(tmp_path / "w.pth", {"w": FakeTensor(storage, shape, strides, offset)})
    with pytest.raises(WeightsFileError, match="outside|malformed"):
        read(tmp_path / "w.pth")


@SAVERS
def test_truncated(save, tmp_path):
    save(tmp_path / "w.pth", tensors(weights()))
    data = (tmp_path / "w.pth").read_bytes()
    for length in (len(data) // 3, len(data) - 40):
        (tmp_path / "cut.pth").write_bytes(data[:length])
        with pytest.raises(WeightsFileError):
            read(tmp_path / "cut.pth")


class Evil:
    """Unpickled by the ordinary unpickler this makes a folder."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize(
    "function", [os.mkdir, os.system, eval, exec, getattr, __import__, io.open, pickle.loads]
)
def test_malicious_pickle_has_no_effect(kind, function, tmp_path):
    target, path = tmp_path / "pwned", tmp_path / "w.pth"
    evil = {"state_dict": {"w": Evil(function, str(target))}}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        (save_zip if kind == "zip" else save_legacy)(path, evil)
    with pytest.raises(WeightsFileError, match="refused"):
        state_dict(path)
    assert not target.exists()


def opcodes(module, name, *rest):
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"".join(rest) + b"."


@pytest.mark.parametrize(
    "program",
    [
        opcodes("talkbench.weights.unpickle", "_Function"),  # our own names are not reachable either
        opcodes("numpy", "load", b"X\x01\x00\x00\x00a\x85R"),
        opcodes("collections", "OrderedDict.__init__"),
        opcodes(
            "collections", "OrderedDict", b"}X\x01\x00\x00\x00aX\x01\x00\x00\x00bsb"
        ),  # BUILD on a function
        opcodes(
            "argparse", "Namespace", b"N}X\x06\x00\x00\x00updateX\x01\x00\x00\x00bs\x86b"
        ),  # BUILD on a class
        opcodes("torch", "FloatStorage", b"}X\x05\x00\x00\x00dtypeX\x05\x00\x00\x00int64sb"),
        opcodes("numpy", "dtype", b"X\x01\x00\x00\x00O\x85R"),
        opcodes("torch._utils", "_rebuild_tensor_v2", b"(K\x01K\x00)))NtR"),
        b"\x80\x02]q\x00h\x00a.",  # a list that holds itself
        b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
        b"\x80\x02X\xff\xff\xff\x7fshort",
        b"\x80\x02garbage",
        b"\x80",
    ],
)
def test_hostile_programs(program):
    before = dict(unpickle._PERMITTED), unpickle._PERMITTED["torch", "FloatStorage"].dtype
    with pytest.raises(unpickle.UnsafePickle):
        unpickle.loads(program)
    assert before == (dict(unpickle._PERMITTED), "float32")


def test_shared_containers_do_not_explode():
    tree = [1]
    for _ in range(60):
        tree = [tree, tree]
    assert unpickle.loads(pickle.dumps(tree))[0][0][1][0] is not None


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_plain_pickle_of_numpy(protocol, tmp_path):
    content = {
        "mean": rng.standard_normal((3, 2)),
        "big": np.arange(4, dtype=">i4"),
        "n": np.float32(2.5),
        "s": {1},
    }
    content["order"] = np.asfortranarray(content["mean"])
    data = pickle.dumps(content, protocol=protocol)
    found = unpickle.loads(data)
    assert found["n"] == np.float32(2.5) and found["s"] == [1]
    for key in ("mean", "big", "order"):
        np.testing.assert_array_equal(found[key], content[key])
    if protocol >= 2:
        (tmp_path / "a.pickle").write_bytes(data)
        np.testing.assert_array_equal(read(tmp_path / "a.pickle")["mean"], content["mean"])
    with pytest.raises(unpickle.UnsafePickle):
        unpickle.loads(pickle.dumps(np.array([{}], object), protocol=protocol))


def test_torchscript_and_whole_modules(tmp_path):
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps({}))
        archive.writestr("net/constants.pkl", pickle.dumps(()))
        archive.writestr("net/code/__torch__.py", "pass")
    with pytest.raises(WeightsFileError, match="TorchScript archive, a program.*state_dict"):
        read(tmp_path / "script.pt")
    (tmp_path / "module.pth").write_bytes(opcodes("torch.nn.modules.linear", "Linear", b")R"))
    with pytest.raises(WeightsFileError, match="whole module was pickled .*Linear.*state_dict"):
        read(tmp_path / "module.pth")


def test_safetensors(tmp_path):
    arrays = weights()
    save_file(arrays, tmp_path / "w.safetensors")
    assert_same(state_dict(tmp_path / "w.safetensors"), arrays)
    assert set(state_dict(tmp_path / "w.safetensors", "conv")) == {"weight", "bias"}
    values = rng.standard_normal((2, 3)).astype(ml_dtypes.bfloat16)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()
    (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + values.tobytes())
    np.testing.assert_array_equal(state_dict(tmp_path / "b.safetensors")["w"], values.astype(np.float32))
    header = header.replace(b"[2, 3]", b"[2, 9]")
    (tmp_path / "bad.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + values.tobytes())
    with pytest.raises(WeightsFileError, match="declared"):
        read(tmp_path / "bad.safetensors")


def test_h5(tmp_path):
    arrays = weights()
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for key, value in arrays.items():
            file[key.replace(".", "/")] = value
        file["away"] = h5py.ExternalLink("/etc/passwd", "/")
    assert_same(read(tmp_path / "w.h5"), {key.replace(".", "/"): value for key, value in arrays.items()})
    assert set(read(tmp_path / "w.h5", "conv")) == {"weight", "bias"}
    for entry in ("away", "none"):
        with pytest.raises(WeightsFileError, match="no entry"):
            read(tmp_path / "w.h5", entry)


def test_npz(tmp_path):
    arrays = weights()
    np.savez(tmp_path / "w.npz", **arrays)
    assert_same(state_dict(tmp_path / "w.npz"), arrays)
    np.savez_compressed(tmp_path / "o.npz", a=np.array([{}], object))
    with pytest.raises(WeightsFileError, match="allow_pickle"):
        read(tmp_path / "o.npz")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"<!DOCTYPE html>", "web page"),
        (b"", "no known weight file"),
        (b"\0" * 257 + b"ustar" + b"\0" * 250, "tar archive"),
        (b"hello, world, this is text", "no known weight file"),
    ],
)
def test_other_files(content, message, tmp_path):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsFileError, match=message):
        read(tmp_path / "x.pth")
    with pytest.raises(WeightsFileError, match="cannot be opened"):
        read(tmp_path / "missing.pth")
    (tmp_path / "none.pth").write_bytes(pickle.dumps({"epoch": 1}))
    with pytest.raises(WeightsFileError, match="no arrays in it; entries: epoch"):
        state_dict(tmp_path / "none.pth")


def test_flatten():
    assert flatten({"a": {"b": np.ones(1), "c": 3}, "d": [np.ones(1)]}).keys() == {"a.b"}
