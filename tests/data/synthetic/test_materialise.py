import json
import os
import threading

import numpy as np
import pytest

from talkbench.data.store import Store
from talkbench.data.synthetic import materialise as module
from talkbench.data.synthetic.materialise import default_folder, materialise
from talkbench.data.synthetic.source import SyntheticError, SyntheticSource

PEOPLE = [500, 501, 502]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return materialise("dev", 16, tmp_path_factory.mktemp("one") / "dev", workers=1, identities=PEOPLE)


def test_store_holds_the_clips_of_the_source(store):
    source = SyntheticSource("dev", 16, PEOPLE)
    assert store.clip_ids == source.clip_ids and store.name == "synthetic"
    assert store.manifest["synthetic"] == json.loads(json.dumps(source.manifest))
    for clip_id in (source.clip_ids[0], source.clip_ids[-1]):
        wanted, found = source.clip(clip_id), store.clip(clip_id)
        for name in ("frames", "audio", "landmarks", "pose", "shape", "expression"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
        assert found.labels.keys() == wanted.labels.keys()
        for name, value in wanted.labels.items():
            np.testing.assert_array_equal(found.labels[name], value, err_msg=name)
        assert (found.identity, found.split, found.landmark_source) == (wanted.identity, "dev", "synthetic")
    assert [path.name for path in store.folder.parent.iterdir() if "parts" in path.name] == []


def test_two_processes_write_the_same_bytes(store, tmp_path):
    steps = []
    again = materialise(
        "dev", 16, tmp_path / "dev", workers=2, identities=PEOPLE, progress=lambda *x: steps.append(x)
    )
    assert again.fingerprint == store.fingerprint
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_interrupted_call_goes_on_where_it_stopped(store, tmp_path, monkeypatch):
    drawn, draw = [], module._draw_part

    def draw_until(parts, split, size, identity):
        if identity == 502 and len(drawn) == 2:
            drawn.append(None)
            raise KeyboardInterrupt
        drawn.append(identity)
        draw(parts, split, size, identity)

    monkeypatch.setattr(module, "_draw_part", draw_until)
    with pytest.raises(KeyboardInterrupt):
        materialise("dev", 16, tmp_path / "dev", workers=1, identities=PEOPLE)
    assert not (tmp_path / "dev").exists()
    again = materialise("dev", 16, tmp_path / "dev", workers=1, identities=PEOPLE)
    assert drawn == [500, 501, None, 502]
    assert again.fingerprint == store.fingerprint


def test_finished_store_is_opened_not_drawn(store, monkeypatch):
    monkeypatch.setattr(module, "_draw_part", None)
    assert materialise("dev", 16, store.folder, identities=PEOPLE).fingerprint == store.fingerprint


def test_other_store_in_the_folder_is_told(store):
    with pytest.raises(SyntheticError, match="another store"):
        materialise("dev", 32, store.folder, identities=PEOPLE)


def test_calls_for_one_folder_wait_for_one_another(tmp_path, monkeypatch):
    drawn, draw = [], module._draw_part

    def count(parts, split, size, identity):
        drawn.append(identity)
        draw(parts, split, size, identity)

    monkeypatch.setattr(module, "_draw_part", count)
    call = dict(folder=tmp_path / "dev", workers=1, identities=[503])
    threads = [threading.Thread(target=materialise, args=("dev", 16), kwargs=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [503]


def test_default_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TALKBENCH_CACHE", str(tmp_path))
    first, second = SyntheticSource("dev", 16), SyntheticSource("dev", 32)
    assert default_folder(first).parent == tmp_path / "synthetic"
    assert default_folder(first) != default_folder(second)
    assert default_folder(first) != default_folder(SyntheticSource("dev", 16, PEOPLE))
    monkeypatch.delenv("TALKBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "xdg"))
    assert default_folder(first).parent == tmp_path / "xdg" / "talkbench" / "synthetic"
