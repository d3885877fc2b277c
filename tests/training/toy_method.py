"""A toy method for the trainer's tests: a two-layer convolutional GAN with BatchNorm that repaints a frame.

Run as a script it is the `talkbench` command with the method `toy` added.
"""

import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from talkbench import methods, resources
from talkbench.data.clip import Clip
from talkbench.data.store import Store, write_store

HERE = Path(__file__).parent
SIZE = 8


def make_store(folder: Path, clips: int = 6) -> Store:
    def draw():
        for number in range(clips):
            rng = np.random.default_rng(number)
            frames = rng.integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
            yield Clip(f"clip{number}", f"person{number % 3}", frames, np.zeros(5 * 640, np.float32))

    return write_store(folder, draw(), size=SIZE)


@dataclass(frozen=True)
class Features:
    """Two frames of a clip, as they are; a share `poison` of the examples is not finite."""

    poison: float

    def __call__(self, view, rng) -> dict:
        source, driving = view.frames(rng.integers(view.num_frames, size=2))
        scale = np.float32(np.nan if rng.random() < self.poison else 1)
        return {"source": source, "driving": driving, "scale": scale}


def stage(config, name: str = "repaint"):
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    from talkbench.stage import Stage

    model = config.model
    dtype = {"float32": None, "bfloat16": jnp.bfloat16}[config.train.dtype]

    class Net(nn.Module):
        outputs: int

        @nn.compact
        def __call__(self, x, train=False):
            x = nn.Conv(model.width, (3, 3), dtype=dtype)(x)
            if model.norm:
                x = nn.BatchNorm(not train, momentum=0.5)(x)
            return nn.Conv(self.outputs, (3, 3), dtype=dtype)(nn.leaky_relu(x)).astype(jnp.float32)

    generator, discriminator, teacher = Net(3), Net(1), Net(2)

    def unit(images):
        assert images.dtype == jnp.uint8, "pictures arrive as they are stored"
        return images.astype(jnp.float32) / 255

    def side(net, key, x):
        variables = net.init(key, x)
        return {"params": {"net": variables["params"]}, "stats": {"net": variables.get("batch_stats", {})}}

    def init(key, batch):
        keys = jax.random.split(key)
        return side(generator, keys[0], unit(batch["source"])), side(
            discriminator, keys[1], unit(batch["source"])
        )

    def apply(net, params, stats, x, train=True):
        variables = {"params": params["net"], "batch_stats": stats["net"]}
        if not train:
            return net.apply(variables, x), stats
        out, new = net.apply(variables, x, train=True, mutable=["batch_stats"])
        return out, {"net": new.get("batch_stats", {})}

    def generator_loss(params, stats, other, frozen, batch, rng):
        time.sleep(model.compile_seconds)
        source, driving = unit(batch["source"]), unit(batch["driving"])
        source = source * batch["scale"][:, None, None, None]
        made, stats = apply(
            generator, params, stats, source + model.noise * jax.random.normal(rng, source.shape)
        )
        score, _ = apply(discriminator, other["params"], other["stats"], made)
        taught = [teacher.apply(frozen, x) for x in (made, driving)]
        terms = {
            "l1": jnp.abs(made - driving).mean(),
            "gan": jnp.square(score - 1).mean(),
            "teacher": jnp.square(taught[0] - taught[1]).mean(),
            "brightness": made.mean(),  # only logged
        }
        return terms, (stats, {"made": made})

    def discriminator_loss(params, stats, outputs, batch, rng):
        real, stats = apply(discriminator, params, stats, unit(batch["driving"]))
        fake, stats = apply(discriminator, params, stats, outputs["made"])
        return {"real": jnp.square(real - 1).mean(), "fake": jnp.square(fake).mean()}, stats

    def sample(side, frozen, batch):
        source, driving = unit(batch["source"][:2]), unit(batch["driving"][:2])
        made, _ = apply(generator, side["params"], side["stats"], source, train=False)
        return jnp.stack([source, driving, made], 1)

    def frozen():
        return teacher.init(jax.random.key(9), jnp.zeros((1, SIZE, SIZE, 3)))

    return Stage(
        name,
        Features(model.poison),
        init,
        generator_loss,
        dict(config.loss),
        discriminator_loss,
        frozen,
        sample,
    )


@dataclass(frozen=True)
class Toy:
    """What training needs of a `methods.Method`: two stages, to see one after the other."""

    stages = staticmethod(lambda config: [stage(config, "first"), stage(config, "second")])


METHOD = Toy()


def install(patch=setattr) -> None:
    """Make `toy` a method, and its config one of the configs."""
    patch(methods, "METHODS", {**methods.METHODS, "toy": "toy_method:METHOD"})
    patch(resources, "folder", partial(_folder, resources.folder))


def _folder(shipped, name: str) -> Path:
    return HERE / "configs" if name == "configs" else shipped(name)


if __name__ == "__main__":
    from talkbench.cli.main import main

    # Tests that run in the background of a shell hand down an ignored Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    install()
    sys.exit(main(["train", "--method", "toy", *sys.argv[1:]]))
