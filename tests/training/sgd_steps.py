"""Three SGD steps of the toy over all devices of this process. As a script: `sgd_steps.py OUT.npz`."""

import sys
from pathlib import Path

import jax
import numpy as np
import optax
import toy_method
from ml_collections import ConfigDict

from talkbench import config as configs
from talkbench.training import mesh as meshes
from talkbench.training.step import compile_step, init_state, make_step


def batch(size: int = 8) -> dict:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, size, 8, 8, 3), dtype=np.uint8)
    images[:, : size // 2] //= 3  # the halves differ: BatchNorm of a device's own share would show
    return {"source": images[0], "driving": images[1], "scale": np.ones(size, np.float32)}


def run(config: ConfigDict) -> dict:
    """{path: leaf} of the state after the steps, and the scalars of each."""
    stage, transform, mesh = toy_method.stage(config), optax.sgd(0.05), meshes.data_mesh()
    fresh = jax.jit(
        lambda key: init_state(stage, transform, key, batch(), ema=True),
        out_shardings=meshes.replicated(mesh),
    )
    state = fresh(jax.random.key(0))
    step = compile_step(make_step(stage, transform, 0.9), mesh)
    seen = {}
    for i in range(3):
        state, scalars = step(state, stage.frozen(), meshes.put_batch(batch(), meshes.by_example(mesh)))
        seen |= {f"scalars/{i}/{name}": np.asarray(value) for name, value in scalars.items()}
    state.pop("rng")
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        assert len(leaf.sharding.device_set) == jax.device_count()
        seen[jax.tree_util.keystr(path)] = np.asarray(leaf)
    return seen


if __name__ == "__main__":
    toy_method.install()
    result = run(configs.load("toy", "tiny"))
    np.savez(Path(sys.argv[1]), devices=jax.device_count(), **result)
