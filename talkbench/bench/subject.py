"""What is measured: a method's stages with a batch each, drawn here and small, and a clip to be animated."""

from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from talkbench import config as configs
from talkbench import methods
from talkbench.data import sources
from talkbench.data.clip import Clip
from talkbench.data.loader import loader
from talkbench.data.store import Store, write_store
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.evaluation.benchmark import resized
from talkbench.stage import Stage
from talkbench.training.run import with_settings

DRAWN = 64  # px; larger pictures are these, enlarged: their content costs no network anything
PEOPLE, CLIPS, FRAMES = 2, 2, 75


def config_of(request: dict) -> ConfigDict:
    """The config that a request means, for one device.

    Raises:
        ConfigError: see `config.load`.
    """
    changes = dict(request.get("overrides") or {})
    if request.get("dtype"):
        changes["train.dtype"] = request["dtype"]
    return configs.load(request["method"], request["preset"], changes)


def clip(size: int, person: int = 0, number: int = 0, frames: int = FRAMES) -> Clip:
    """A clip of the synthetic benchmark's training people, at `size` px."""
    drawn = synthetic_clip(person, number, frames, DRAWN, split="train")
    return drawn if size == DRAWN else resized(drawn, size)


def store_of(request: dict, size: int) -> Store:
    """The clips that a request's stages learn from: a few drawn ones, kept in its `folder`, or its `data`."""
    if request.get("data"):
        return sources.open_store(request["data"], size, "train")
    place = Path(request["folder"]) / f"clips-{size}"
    if not place.exists():
        drawn = (clip(size, person, number) for person in range(PEOPLE) for number in range(CLIPS))
        return write_store(place, drawn, size=size)
    return Store(place)


def stages_of(request: dict, config: ConfigDict, store: Store, real: bool) -> list[tuple[Stage, ConfigDict]]:
    """The stages up to the request's `stage` (all without one), each with its settings.

    A stage that starts from earlier ones gets their first weights (`real`), or zeros.
    """
    made, trained = [], {}
    todo = methods.load(request["method"]).stages(config)
    last = request.get("stage", len(todo) - 1)
    for number, stage in enumerate(todo[: last + 1]):
        stage = stage if isinstance(stage, Stage) else stage(trained)
        made.append((stage, own := with_settings(config, stage.settings)))
        if any(not isinstance(later, Stage) for later in todo[number + 1 : last + 1]):
            trained[stage.name] = generator_side(stage, own, store, real)
    return made


def generator_side(stage: Stage, config: ConfigDict, store: Store, real: bool) -> dict:
    """A stage's generator side before training: drawn (`real`), or with parameters that are zeros and take no room.

    What isn't trained is there in both: a generator's host code may work with it (ATVGnet's landmark basis).
    """
    batch = repeated(example(stage, config, store), min(2, config.train.batch_size))
    if real:
        return jax.device_get(jax.jit(lambda key, b: stage.init(key, b)[0])(jax.random.key(0), batch))
    key = jax.random.key(0)
    stats = jax.jit(lambda key, b: stage.init(key, b)[0]["stats"])(key, batch)
    params = jax.eval_shape(lambda key, b: stage.init(key, b)[0]["params"], key, batch)
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), params)
    return {"params": zeros, "stats": jax.device_get(stats)}


def example(stage: Stage, config: ConfigDict, store: Store) -> dict:
    """One example of a stage, from the first clip."""
    return stage.features(store.view(store.clip_ids[0]), np.random.default_rng(config.seed))


def repeated(one: dict, count: int) -> dict:
    """A batch of `count` times the same example."""
    return {name: np.repeat(np.asarray(value)[None], count, 0) for name, value in one.items()}


def batches(stage: Stage, config: ConfigDict, store: Store):
    """The loader of a stage, as the trainer makes it."""
    workers = config.data.workers
    return loader(
        store, stage.features, config.train.batch_size, config.seed, workers=workers,
        cache_in_memory=config.data.in_memory and not workers, examples_per_clip=100,
    )  # fmt: skip
