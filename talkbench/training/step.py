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
    """The state of a run: step, rng, generator {params, stats, opt}, discriminator (same, or {}), ema (or {})."""
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


def make_step(
    stage: Stage, transform: optax.GradientTransformation, ema_decay: float, accumulate: int = 1
) -> Callable:
    """`step(state, frozen, batch) -> (state, scalars)`, a pure function.

    The generator is updated on the weighted sum of its terms; the discriminator then sees the same batch and the
    images of that pass (no second generation), as the published trainers do. Discriminator statistics (spectral-norm
    vectors) advance in its own pass only. With `accumulate` > 1 the batch goes through in that many parts, one after
    the other, and the gradients are averaged: the same update at a part of the memory (but BatchNorm sees parts).

    Scalars: every term, `generator`, `discriminator`, the gradients' norms; with `optimizer.skip_nonfinite` also
    `skipped`, the updates left out so far, and `skipped_in_a_row`.

    Raises:
        ValueError: (when first called) a weight without a term, no term with a weight, or two terms of one name.
    """

    def weighted(terms, default):
        used = {name: stage.weights.get(name, default) for name in terms}
        if not any(used.values()):
            raise ValueError(f"stage {stage.name}: none of its terms ({', '.join(terms)}) has a weight")
        return sum(weight * terms[name] for name, weight in used.items() if weight)

    def joined(scalars, more):
        twice = scalars.keys() & more.keys()
        if twice:
            raise ValueError(f"stage {stage.name}: two terms are called {', '.join(sorted(twice))}")
        return scalars | more

    def gradients(loss, params, stats, *parts):
        """Over the parts of the batch: mean gradient, last statistics, mean terms, all outputs."""
        gradient = jax.value_and_grad(loss, has_aux=True)

        def one(carry, part):
            total, stats = carry
            (value, (terms, stats, outputs)), grads = gradient(params, stats, *part)
            return (jax.tree.map(jnp.add, total, grads), stats), ((value, terms), outputs)

        if accumulate == 1:
            (value, (terms, stats, outputs)), grads = gradient(params, stats, *parts)
            return grads, stats, value, terms, outputs
        start = jax.tree.map(jnp.zeros_like, params), stats
        (total, stats), (values, outputs) = jax.lax.scan(one, start, parts)
        value, terms = jax.tree.map(lambda x: x.mean(0), values)
        return jax.tree.map(lambda x: x / accumulate, total), stats, value, terms, outputs

    def split(batch, key):
        if accumulate == 1:
            return batch, key
        # Every device keeps its own examples: part i takes each `accumulate`-th one of them.
        apart = lambda x: x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1)  # noqa: E731
        return jax.tree.map(apart, batch), jax.random.split(key, accumulate)

    def update(side, grads, stats):
        changes, opt = transform.update(grads, side["opt"], side["params"])
        if isinstance(opt, optax.ApplyIfFiniteState):  # a pass that is left out leaves no statistics either
            stats = jax.tree.map(lambda new, old: jnp.where(opt.last_finite, new, old), stats, side["stats"])
        return {"params": optax.apply_updates(side["params"], changes), "stats": stats, "opt": opt}

    def step(state, frozen, batch):
        rng = jax.random.fold_in(state["rng"], state["step"])
        generator, discriminator = state["generator"], state["discriminator"]

        def generator_loss(params, stats, batch, key):
            terms, (stats, outputs) = stage.generator_loss(params, stats, discriminator, frozen, batch, key)
            return weighted(terms, 0.0), (terms, stats, outputs)

        def discriminator_loss(params, stats, batch, key, outputs):
            terms, stats = stage.discriminator_loss(params, stats, outputs, batch, key)
            return weighted(terms, 1.0), (terms, stats, {})

        grads, stats, total, terms, outputs = gradients(
            generator_loss, generator["params"], generator["stats"], *split(batch, jax.random.fold_in(rng, 0))
        )
        scalars = joined(terms, {"generator": total, "generator_gradient": optax.tree.norm(grads)})
        new = {**state, "step": state["step"] + 1, "generator": update(generator, grads, stats)}
        if stage.discriminator_loss is not None:
            parts = *split(batch, jax.random.fold_in(rng, 1)), jax.lax.stop_gradient(outputs)
            grads, stats, total, terms, _ = gradients(
                discriminator_loss, discriminator["params"], discriminator["stats"], *parts
            )
            scalars = joined(scalars, terms)
            scalars = joined(
                scalars, {"discriminator": total, "discriminator_gradient": optax.tree.norm(grads)}
            )
            new["discriminator"] = update(discriminator, grads, stats)
        absent = stage.weights.keys() - scalars.keys()
        if absent:
            raise ValueError(
                f"stage {stage.name}: weights for terms it does not have: {', '.join(sorted(absent))}"
            )
        if ema_decay:
            # The average starts as a plain mean, so that the first weights do not linger in it.
            decay = jnp.minimum(ema_decay, (1.0 + state["step"]) / (10.0 + state["step"]))
            new["ema"] = optax.incremental_update(new["generator"]["params"], state["ema"], 1.0 - decay)
        return new, scalars | _skipped(new)

    return step


def _skipped(state: dict) -> dict:
    sides = [state[name]["opt"] for name in ("generator", "discriminator") if state[name]]
    if not isinstance(sides[0], optax.ApplyIfFiniteState):
        return {}
    return {
        "skipped": sum(opt.total_notfinite for opt in sides),
        "skipped_in_a_row": jnp.stack([opt.notfinite_count for opt in sides]).max(),
    }


def compile_step(step: Callable, mesh: Mesh) -> Callable:
    """`step` compiled over the mesh: state replicated and donated, the batch split over `data`."""
    whole, split = meshes.replicated(mesh), meshes.by_example(mesh)
    return jax.jit(step, donate_argnums=0, in_shardings=(whole, whole, split), out_shardings=(whole, whole))
