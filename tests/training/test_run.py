"""train: the stages of a method one after the other, then one weight file."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import toy_method

from talkbench.training.run import train
from talkbench.weights import checkpoint


def test_a_stage_takes_up_what_an_earlier_one_learned(config, store, tmp_path, monkeypatch):
    learned = {}

    def stages(settings):
        first = toy_method.stage(settings, "first")
        first = dataclasses.replace(first, settings={"train": {"steps": 2}}, exported=False)

        def second(trained):
            learned.update(trained["first"]["params"])
            own = toy_method.stage(settings, "second")

            def init(key, batch):
                generator, discriminator = own.init(key, batch)
                return generator | {"params": jax.tree.map(jnp.asarray, learned)}, discriminator

            slow = {"train": {"steps": 1}, "optimizer": {"learning_rate": 0.0}}
            return dataclasses.replace(own, init=init, settings=slow)

        return [first, second]

    monkeypatch.setattr(toy_method, "METHOD", types.SimpleNamespace(stages=stages))
    path = train("toy", "method", config(), f"folder={store.folder}", tmp_path / "run")
    tree, meta = checkpoint.load(path, "method", "toy")
    assert set(tree) == {"second"} and meta["config"]["train"]["steps"] == 12
    assert (tmp_path / "run/first/checkpoints/2").exists() and (
        tmp_path / "run/second/checkpoints/1"
    ).exists()
    kept = jax.tree.leaves(tree["second"]["params"])
    assert kept and all(np.array_equal(a, b) for a, b in zip(kept, jax.tree.leaves(learned), strict=True))
