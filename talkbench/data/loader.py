"""The training loader (grain) and a plain one for evaluation.

Order and randomness of a loader are a function of (seed, position) alone: not of workers, processes, threads.
So its state is one number, and a run may go on with another number of workers or processes.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import grain
import numpy as np
from absl import flags

from talkbench.data.store import Store, clips_by_identity
from talkbench.data.view import ClipView, view_of

__all__ = ["BatchIterator", "ClipView", "LoaderError", "batches", "loader", "view_of"]

Features = Callable[[ClipView, np.random.Generator], dict]


class LoaderError(ValueError):
    """Wrong arguments or a state that belongs to another loader; the message says which."""


class _Examples(grain.transforms.RandomMap):
    """number -> example. `choices[number]` are the clips that one visit may take."""

    def __init__(self, store, features: Features, choices: list[tuple[str, ...]]):
        self.store = store
        self.features = features
        self.choices = choices

    def random_map(self, element: int, rng: np.random.Generator) -> dict:
        choice = self.choices[element % len(self.choices)]
        clip_id = choice[0] if len(choice) == 1 else choice[rng.integers(len(choice))]
        return self.features(self.store.view(clip_id), rng)


def _in_worker(*_) -> None:
    """A reading process leaves Ctrl-C to the trainer, which wants to save, and does not outlive it, were it killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


class BatchIterator(grain.DatasetIterator):
    """Endless (or, without `repeat`, one epoch of) batches: dicts of stacked arrays.

    `get_state()` is a small JSON dict and `set_state` takes it back, also through
    `grain.checkpoint.CheckpointSave(iterator)` and `CheckpointRestore(iterator)` of Orbax.
    """

    def __init__(self, dataset: grain.MapDataset, identity: dict, workers: int, prefetch: int, step: int):
        super().__init__()
        self._dataset = dataset
        self._identity = identity
        self._workers = workers
        self._prefetch = prefetch
        self._step = step  # examples of all processes in a batch
        self._position = 0  # batches
        self._iterator: grain.DatasetIterator | None = None

    def __next__(self) -> dict:
        if self._iterator is None:
            self._iterator = self._open()
        batch = next(self._iterator)
        self._position += 1
        if self._workers:  # out of the workers' shared memory, which goes when they do
            batch = {name: np.array(values) for name, values in batch.items()}
        return batch

    def _open(self) -> grain.DatasetIterator:
        options = grain.ReadOptions(
            num_threads=1 if self._prefetch else 0, prefetch_buffer_size=self._prefetch
        )
        dataset = self._dataset[self._position :].to_iter_dataset(options)
        if self._workers:
            # outside absl.app nobody has parsed the flags that grain hands on to its workers
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            buffers = max(self._prefetch, 1)
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=self._workers, per_worker_buffer_size=buffers),
                worker_init_fn=_in_worker,
            )
        return iter(dataset)

    def get_state(self) -> dict:
        """What is needed to go on: {"examples": number consumed by all processes, and whose loader it is}."""
        return {**self._identity, "examples": self._position * self._step}

    def set_state(self, state: dict) -> None:
        """Goes to where `state` was taken; LoaderError if it is of another store, seed or length."""
        for key, value in self._identity.items():
            if state.get(key) != value:
                raise LoaderError(
                    f"the loader's state has {key} {state.get(key)}, this loader {value}; use the same"
                )
        position, rest = divmod(int(state["examples"]), self._step)
        if rest:
            raise LoaderError(
                f"the loader's state lies at example {state['examples']}, no multiple of the global batch"
                f" {self._step}; use the old batch size and process count, or a divisor"
            )
        self.close()
        self._closed = False
        self._position = position

    def close(self) -> None:
        """Ends the workers; the iterator can be used again."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None


def loader(
    store: Store,
    features: Features,
    batch_size: int,
    seed: int,
    *,
    workers: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    repeat: bool = True,
    examples_per_clip: int = 1,
    clip_ids: Sequence[str] | None = None,
    by_identity: bool = False,
    cache_in_memory: bool = False,
    memory_limit: int = 4 << 30,
    prefetch: int = 2,
) -> BatchIterator:
    """Shuffled training batches, `batch_size` examples for this process.

    An epoch visits every clip (or identity) `examples_per_clip` times in an order of its own; each visit
    calls `features(view, rng)` with an own random generator for a flat dict; values are stacked by key.

    Args:
        store: a `Store`, or anything with `clip_ids`, `view(clip_id)`, `fingerprint` and pickling.
        features: numpy only; with workers it must pickle (a function of a module, or an object).
        batch_size: of this process; the global batch is `batch_size * process_count`.
        seed: of order and randomness.
        workers: reading processes (0: this one, with a thread that reads ahead).
        process_index, process_count: this process of a multi-host run; processes see disjoint examples.
        repeat: endless, reshuffled every epoch. Without it: one epoch, less what doesn't fill a global batch.
        examples_per_clip: visits of a clip per epoch.
        clip_ids: only these clips (say of a split); None: all.
        by_identity: an epoch visits identities instead; each visit draws one of the identity's clips.
        cache_in_memory: decode all frames into memory first, for tiny models that share their cores with the
            reading; StoreError above `memory_limit` bytes, LoaderError with workers.
        prefetch: batches read ahead (0: none, nor a thread).

    Raises:
        LoaderError: no clips, arguments out of range, fewer examples than a batch without `repeat`.
    """
    ids = list(store.clip_ids if clip_ids is None else clip_ids)
    for name, value in (("batch_size", batch_size), ("examples_per_clip", examples_per_clip)):
        if value < 1:
            raise LoaderError(f"{name} {value}: must be at least 1")
    if not ids:
        raise LoaderError(f"{store.name}: no clips to load")
    if not 0 <= process_index < process_count:
        raise LoaderError(f"process {process_index} of {process_count}")
    if cache_in_memory:
        if workers:
            raise LoaderError("cache_in_memory holds the frames in this process: use it with workers=0")
        store.load_frames(memory_limit, ids)
    groups = clips_by_identity(store, ids).values() if by_identity else ((clip_id,) for clip_id in ids)
    choices = [tuple(group) for group in groups]
    step = batch_size * process_count
    length = len(choices) * examples_per_clip
    dataset = grain.MapDataset.range(length).seed(seed).shuffle()
    if repeat:
        dataset = dataset.repeat()
    elif length < step:
        raise LoaderError(f"{length} examples do not fill a batch of {step}; make the batch smaller")
    else:
        dataset = dataset[: length - length % step]
    # random_map before the slice: an example's randomness follows its place in the whole, whoever computes it
    dataset = dataset.random_map(_Examples(store, features, choices))
    dataset = dataset[process_index::process_count].batch(batch_size, drop_remainder=True)
    identity = {"store": store.fingerprint, "seed": seed, "epoch_examples": length}
    return BatchIterator(dataset, identity, workers, prefetch, step)


def batches(
    store: Store,
    features: Features,
    batch_size: int,
    *,
    clip_ids: Iterable[str] | None = None,
    seed: int = 0,
    examples_per_clip: int = 1,
) -> Iterator[dict]:
    """Evaluation batches: every clip `examples_per_clip` times, in order, nothing dropped, always the same.

    The last batch is filled up by repeating its last example; `mask` (batch_size,) bool is False there. The
    generator of example k is `default_rng([seed, k])`. Raises LoaderError if there are no clips.
    """
    ids = list(store.clip_ids if clip_ids is None else clip_ids)
    if not ids:
        raise LoaderError(f"{store.name}: no clips to load")
    if batch_size < 1:
        raise LoaderError(f"batch_size {batch_size}: must be at least 1")
    examples = []
    for number, clip_id in enumerate(clip_id for clip_id in ids for _ in range(examples_per_clip)):
        examples.append(features(store.view(clip_id), np.random.default_rng([seed, number])))
        if len(examples) == batch_size:
            yield _stack(examples, batch_size)
            examples = []
    if examples:
        yield _stack(examples, batch_size)


def _stack(examples: list[dict], batch_size: int) -> dict:
    mask = np.arange(batch_size) < len(examples)
    examples = examples + [examples[-1]] * (batch_size - len(examples))
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]} | {"mask": mask}
