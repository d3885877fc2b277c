"""One optimisation step of any stage: generator side, then discriminator side, as one compiled program."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from talkbench.stage import Stage
from talkbench.training import mesh as meshes


def init_state(
    stage: Stage, transform: optax.GradientTransformation, key: jax.Array, batch: dict, ema: bool
) -> dict:
    """The state of a run: `{"step", "rng", "generator": {params, stats, opt}, "discriminator" (or {}), "ema" (or {})}`."""
    generator, discriminator = stage.init(jax.random.fold_in(key, 0), batch)
    side = lambda s: {**s, "opt": transform.init(s["params"])} if s else {}  # noqa: E731
    return {
        "step": jnp.zeros((), jnp.int32),
        "rng": jax.random.fold_in(key, 1),
        "generator": side(generator),
        "discriminator": side(discriminator),
        # A copy: a buffer that stands twice in a donated tree is refused.
        "ema": jax.tree.map(jnp.copy, generator["params"]) if ema else {},
    }


def make_step(stage: Stage, transform: optax.GradientTransformation, ema_decay: float) -> Callable:
    """`step(state, frozen, batch) -> (state, scalars)`, a pure function.

    The generator is updated on the weighted sum of its terms; the discriminator then sees the same batch and the
    images of that pass (no second generation), as the published trainers do. Discriminator statistics (spectral-norm
    vectors) advance in its own pass only. Scalars: every term, `generator`, `discriminator`, and the gradients' norms.
    """

    def weighted(terms):
        unknown = [name for name in stage.weights if name not in terms]
        if unknown:
            raise ValueError(f"stage {stage.name}: weights for terms it does not have: {', '.join(unknown)}")
        return sum(weight * terms[name] for name, weight in stage.weights.items() if weight)

    def update(side, grads, stats):
        changes, opt = transform.update(grads, side["opt"], side["params"])
        return {"params": optax.apply_updates(side["params"], changes), "stats": stats, "opt": opt}

    def step(state, frozen, batch):
        rng = jax.random.fold_in(state["rng"], state["step"])
        generator, discriminator = state["generator"], state["discriminator"]

        def generator_total(params):
            terms, (stats, outputs) = stage.generator_loss(
                params, generator["stats"], discriminator, frozen, batch, jax.random.fold_in(rng, 0)
            )
            return weighted(terms), (terms, stats, outputs)

        (total, (terms, stats, outputs)), grads = jax.value_and_grad(generator_total, has_aux=True)(
            generator["params"]
        )
        scalars = {**terms, "generator": total, "generator_gradient": optax.global_norm(grads)}
        new = {**state, "step": state["step"] + 1, "generator": update(generator, grads, stats)}

        if stage.discriminator_loss is not None:
            outputs = jax.lax.stop_gradient(outputs)

            def discriminator_total(params):
                terms, stats = stage.discriminator_loss(
                    params, discriminator["stats"], outputs, batch, jax.random.fold_in(rng, 1)
                )
                return sum(terms.values()), (terms, stats)

            (total, (terms, stats)), grads = jax.value_and_grad(discriminator_total, has_aux=True)(
                discriminator["params"]
            )
            scalars |= {**terms, "discriminator": total, "discriminator_gradient": optax.global_norm(grads)}
            new["discriminator"] = update(discriminator, grads, stats)
        if ema_decay:
            # The average starts as a plain mean, so that the first weights do not linger in it.
            decay = jnp.minimum(ema_decay, (1.0 + state["step"]) / (10.0 + state["step"]))
            new["ema"] = optax.incremental_update(new["generator"]["params"], state["ema"], 1.0 - decay)
        return new, scalars

    return step


def compile_step(step: Callable, mesh: Mesh) -> Callable:
    """`step` compiled over the mesh: state replicated and donated, the batch split over `data`."""
    whole, split = meshes.replicated(mesh), meshes.by_example(mesh)
    return jax.jit(step, donate_argnums=0, in_shardings=(whole, whole, split), out_shardings=(whole, whole))
