"""The loader: determinism, resuming, workers, processes, evaluation batches."""

import json

import grain
import numpy as np
import orbax.checkpoint as ocp
import pytest

from talkbench.data.clip import Clip
from talkbench.data.loader import LoaderError, batches, loader, view_of
from talkbench.data.store import Store, StoreError, write_store

CLIPS = 13


def example(view, rng):
    index = int(rng.integers(view.num_frames))
    return {
        "clip": np.int32(view.clip_id[4:]),
        "index": np.int32(index),
        "frame": view.frame(index),
        "audio": view.audio(index - 1, index + 2),
        "draw": rng.random(2).astype(np.float32),
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    def clips():
        for n in range(CLIPS):
            rng = np.random.default_rng(n)
            frames = rng.integers(0, 256, (5 + n % 3, 8, 8, 3), dtype=np.uint8)
            audio = rng.uniform(-1, 1, len(frames) * 640).astype(np.float32)
            yield Clip(f"clip{n}", f"person{n % 4}", frames, audio, split="val" if n > 10 else "train")

    return write_store(tmp_path_factory.mktemp("loader") / "store", clips())


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_batches_are_stacked_and_right(store):
    batch = next(loader(store, example, 4, seed=0))
    assert batch["frame"].shape == (4, 8, 8, 3) and batch["frame"].dtype == np.uint8
    assert batch["audio"].shape == (4, 1920) and batch["clip"].dtype == np.int32
    for n in range(4):
        view = store.view(f"clip{batch['clip'][n]}")
        np.testing.assert_array_equal(batch["frame"][n], view.frame(batch["index"][n]))


def test_same_seed_same_batches_other_seed_others(store):
    first, second = (take(loader(store, example, 4, seed=3), 8) for _ in range(2))
    assert_same(first, second)
    other = take(loader(store, example, 4, seed=4), 8)
    assert any((a["clip"] != b["clip"]).any() for a, b in zip(first, other))
    assert_same(first, take(loader(store, example, 4, seed=3, prefetch=0), 8))
    assert_same(first, take(loader(Store(store.folder), example, 4, seed=3, cache_in_memory=True), 8))


def test_every_epoch_covers_all_in_a_new_order_with_new_draws(store):
    seen = take(loader(store, example, 1, seed=0, examples_per_clip=2), 4 * CLIPS)
    clips = np.array([batch["clip"][0] for batch in seen]).reshape(2, 2 * CLIPS)
    for epoch in clips:
        assert sorted(epoch) == sorted(2 * list(range(CLIPS)))
    assert (clips[0] != clips[1]).any()
    draws = np.array([batch["draw"][0] for batch in seen])
    assert len(np.unique(draws, axis=0)) == len(draws)


def test_subset_and_identities(store):
    train = store.ids("train")
    seen = take(loader(store, example, 1, seed=0, clip_ids=train), 22)
    assert {int(batch["clip"][0]) for batch in seen} == set(range(11))
    seen = [int(batch["clip"][0]) for batch in take(loader(store, example, 1, seed=0, by_identity=True), 80)]
    people = np.array(seen).reshape(20, 4) % 4
    assert (np.sort(people, 1) == np.arange(4)).all()  # every identity once an epoch
    assert set(seen) == set(range(CLIPS))  # and all clips of each in the long run


@pytest.mark.parametrize("resumed", [{}, {"prefetch": 0}])
def test_resume_is_exact(store, resumed):
    iterator = loader(store, example, 4, seed=1)
    take(iterator, 5)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = take(iterator, 6)
    fresh = loader(store, example, 4, seed=1, **resumed)
    next(fresh)
    fresh.set_state(state)
    assert fresh.get_state() == state
    assert_same(take(fresh, 6), expected)


def test_state_of_another_loader_is_refused(store, tmp_path):
    iterator = loader(store, example, 4, seed=1)
    next(iterator)
    state = iterator.get_state()
    with pytest.raises(LoaderError, match="seed 1, this loader 2"):
        loader(store, example, 4, seed=2).set_state(state)
    with pytest.raises(LoaderError, match="epoch_examples"):
        loader(store, example, 4, seed=1, examples_per_clip=2).set_state(state)
    with pytest.raises(LoaderError, match="no multiple"):
        loader(store, example, 3, seed=1).set_state(state)
    other = write_store(tmp_path / "other", store.clips(["clip1", "clip2"]))
    with pytest.raises(LoaderError, match="store"):
        loader(other, example, 4, seed=1).set_state(state)


def test_through_orbax(store, tmp_path):
    iterator = loader(store, example, 4, seed=1)
    take(iterator, 3)
    with ocp.CheckpointManager(tmp_path / "run") as manager:
        manager.save(3, args=ocp.args.Composite(loader=grain.checkpoint.CheckpointSave(iterator)))
        manager.wait_until_finished()
        expected = take(iterator, 4)
        fresh = loader(store, example, 4, seed=1)
        manager.restore(3, args=ocp.args.Composite(loader=grain.checkpoint.CheckpointRestore(fresh)))
    assert_same(take(fresh, 4), expected)


def test_processes_are_disjoint_and_add_up_to_one(store):
    whole = take(loader(store, example, 4, seed=5), 9)
    parts = [take(loader(store, example, 2, seed=5, process_index=p, process_count=2), 9) for p in range(2)]
    for batch, first, second in zip(whole, *parts):
        for name in batch:
            np.testing.assert_array_equal(batch[name][0::2], first[name], err_msg=name)
            np.testing.assert_array_equal(batch[name][1::2], second[name], err_msg=name)
    epochs = [
        [
            int(n)
            for b in loader(store, example, 2, 5, repeat=False, process_index=p, process_count=2)
            for n in b["clip"]
        ]
        for p in range(2)
    ]
    assert len(epochs[0]) == len(epochs[1]) == 6 and not set(epochs[0]) & set(epochs[1])


def test_resume_on_another_number_of_processes(store):
    two = loader(store, example, 2, seed=5, process_index=1, process_count=2)
    take(two, 3)
    one = loader(store, example, 4, seed=5)
    one.set_state(two.get_state())
    assert_same([{name: value[1::2] for name, value in b.items()} for b in take(one, 3)], take(two, 3))


def test_two_workers_give_the_same_and_resume(store):
    expected = take(loader(store, example, 2, seed=7), 11)
    iterator = loader(store, example, 2, seed=7, workers=2)
    try:
        assert_same(take(iterator, 7), expected[:7])
        state = iterator.get_state()
    finally:
        iterator.close()
    fresh = loader(store, example, 2, seed=7)  # states don't depend on the workers
    fresh.set_state(state)
    assert_same(take(fresh, 4), expected[7:])


def test_one_epoch_without_repeat(store):
    seen = [int(n) for batch in loader(store, example, 4, seed=0, repeat=False) for n in batch["clip"]]
    assert len(seen) == len(set(seen)) == 12


def test_evaluation_batches(store):
    seen = list(batches(store, example, 5))
    assert [batch["mask"].sum() for batch in seen] == [5, 5, 3] and not seen[-1]["mask"][3:].any()
    clips = np.concatenate([batch["clip"][batch["mask"]] for batch in seen])
    np.testing.assert_array_equal(clips, np.arange(CLIPS))
    assert all(batch["frame"].shape == (5, 8, 8, 3) for batch in seen)
    np.testing.assert_array_equal(seen[-1]["frame"][3], seen[-1]["frame"][2])
    assert_same(seen, list(batches(store, example, 5)))
    assert len(list(batches(store, example, 2, clip_ids=["clip1"], examples_per_clip=3))) == 2


def test_refusals(store):
    for arguments, text in (
        ({"batch_size": 0}, "batch_size 0"),
        ({"clip_ids": []}, "no clips"),
        ({"process_index": 2, "process_count": 2}, "process 2 of 2"),
        ({"batch_size": 99, "repeat": False}, "do not fill"),
        ({"cache_in_memory": True, "workers": 1}, "workers=0"),
        ({"examples_per_clip": 0}, "examples_per_clip"),
    ):
        with pytest.raises(LoaderError, match=text):
            loader(store, example, **{"batch_size": 4, "seed": 0, **arguments})
    with pytest.raises(StoreError, match="GiB"):
        loader(store, example, 4, 0, cache_in_memory=True, memory_limit=100)
    with pytest.raises(LoaderError, match="no clips"):
        next(batches(store, example, 4, clip_ids=[]))


def test_view_of_a_clip_in_memory(store):
    clip = store.clip("clip3")
    got, wanted = (example(view, np.random.default_rng(0)) for view in (view_of(clip), store.view("clip3")))
    assert_same([got], [wanted])
