"""Weight files: round trips, and every way a file can be wrong."""

import json
import resource
import zipfile

import ml_dtypes
import numpy as np
import pytest

from talkbench.weights.checkpoint import CheckpointError, digest, flatten, load, save, unflatten

META = {"kind": "method", "name": "toy", "config": {"seed": 0}}


def tree():
    rng = np.random.default_rng(0)
    weights = {"kernel": rng.normal(size=(3, 3, 4, 8)).astype(np.float32), "count": np.int32(7)}
    return {"video": {"params": {"net": weights}, "stats": {"net": {}}}, "empty": {"params": {}, "stats": {}}}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        if isinstance(a[key], dict):
            assert_same(a[key], b[key])
        else:
            assert np.asarray(a[key]).dtype == b[key].dtype
            np.testing.assert_array_equal(a[key], b[key])


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "toy.npz"
    save(path, tree(), META)
    return path


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "folders" / "toy.npz"
    stored = save(path, tree(), META)
    back, meta = load(path, "method", "toy")
    assert_same(tree(), back)  # empty branches too: a network without BatchNorm has stats {}
    assert meta == {"format": 1, "digest": stored, **META} and digest(back) == stored
    assert [p.name for p in path.parent.iterdir()] == ["toy.npz"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_flatten_and_back():
    flat = flatten(tree())
    assert set(flat) == {
        "video/params/net/kernel", "video/params/net/count", "video/stats/net/", "empty/params/", "empty/stats/",
    }  # fmt: skip
    assert_same(tree(), unflatten(flat))
    assert flatten({}) == {} and unflatten({}) == {}


def test_digest_sees_names_shapes_types_and_values():
    base = {"a": np.arange(6, dtype=np.float32)}
    others = [
        {"b": base["a"]}, {"a": base["a"].reshape(2, 3)}, {"a": base["a"].astype(np.float64)}, {"a": base["a"] + 1},
        {**base, "b": {}},
    ]  # fmt: skip
    assert len({digest(t) for t in [base, *others]}) == 6
    assert digest(base) == digest({"a": np.arange(12, dtype=np.float32)[::2] / 2})


def test_half_precision(tmp_path):
    path = tmp_path / "half.npz"
    values = {"small": np.float32([1.1, -3e-5]), "large": np.float32([1.1, 1e5]), "count": np.int32([70000])}
    save(path, values, META, half=True)
    back, _ = load(path)
    assert all(back[name].dtype == values[name].dtype for name in values)
    np.testing.assert_array_equal(back["small"], values["small"].astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(back["large"], values["large"])  # would be inf
    np.testing.assert_array_equal(back["count"], values["count"])
    with np.load(path) as file:
        assert file["tree/small"].dtype == np.float16


def test_bfloat16_comes_back_as_float32(tmp_path):
    path = tmp_path / "b.npz"
    save(path, {"w": np.float32([1.0, 2.5]).astype(ml_dtypes.bfloat16)}, META)
    back = load(path)[0]["w"]
    assert back.dtype == np.float32 and back.tolist() == [1.0, 2.5]


def refused(path, match, *wanted):
    with pytest.raises(CheckpointError, match=match) as error:
        load(path, *wanted)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and ";" in message
    return message


def test_another_kind_name_or_format_is_refused(saved, tmp_path):
    refused(saved, "weights of a method, expected a judge", "judge")
    refused(saved, "weights of 'toy', expected 'facevid2vid'", "method", "facevid2vid")
    refused(tmp_path / "none.npz", "no such checkpoint")
    refused(tmp_path, "no such checkpoint")
    save(saved, tree(), {**META, "format": 2})
    refused(saved, "of format 2")


def test_what_was_read_can_be_changed_and_written_again(saved):
    kept, meta = load(saved)
    kept["video"]["params"]["net"]["count"] = np.int32(8)
    stored = save(saved, kept, meta)
    back, again = load(saved)
    assert stored == again["digest"] != meta["digest"] and back["video"]["params"]["net"]["count"] == 8


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign.npz"
    for content in (b"", b"text", b"PK\x03\x04", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        refused(path, "damaged, or not a talkbench checkpoint")
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    refused(path, "damaged, or not a talkbench checkpoint")
    np.savez(path, weights=np.zeros(3))
    refused(path, "damaged, or not a talkbench checkpoint")
    for meta in ("[1]", "not json", "3"):
        np.savez(path, meta=np.array(meta))
        refused(path, "damaged, or not a talkbench checkpoint")
    np.savez(path, meta=np.array(json.dumps({"kind": "method"})))
    refused(path, "do not match the digest")
    np.savez(path, meta=np.array([{"pickled": 1}], dtype=object))
    refused(path, "damaged, or not a talkbench checkpoint")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("meta", "hello")
    refused(path, "damaged, or not a talkbench checkpoint")


def test_a_changed_array_is_refused(saved):
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["tree/video/params/net/kernel"][0, 0, 0, 0] += 1e-3
    np.savez(saved, **arrays)
    refused(saved, "do not match the digest")


def test_truncated_and_flipped_files_are_refused(saved):
    whole = saved.read_bytes()
    rng = np.random.default_rng(0)
    for length in [*rng.integers(0, len(whole), 30), len(whole) - 1]:
        saved.write_bytes(whole[:length])
        refused(saved, "damaged")
    for place in rng.integers(0, len(whole), 150):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(broken)
        try:  # a flip in a time stamp or a name's hint of the container changes nothing that is read
            assert_same(load(saved)[0], tree())
        except CheckpointError as error:
            assert str(error).startswith(f"{saved}: damaged") and "\n" not in str(error)


def test_a_full_disk_leaves_the_old_file(saved):
    old = saved.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = {"a": np.random.default_rng(0).normal(size=100_000)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError) as error:
            save(saved, noise, META)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.filename == str(saved)
    assert saved.read_bytes() == old and [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_an_interrupted_write_leaves_the_old_file(saved, monkeypatch):
    old = saved.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("talkbench.atomic.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(saved, {"a": np.zeros(3)}, META)
    assert saved.read_bytes() == old and [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_a_folder_that_cannot_be_written_is_named(saved):
    with pytest.raises(OSError) as error:
        save(saved / "below.npz", {"a": np.zeros(3)}, META)
    assert str(saved) in str(error.value.filename)
