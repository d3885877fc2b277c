"""A few steps of Adam on one batch."""

import jax
import numpy as np
import optax


def losses(stage, views, steps: int, learning_rate: float = 5e-3) -> list[float]:
    """The stage's total on one batch of an example a view, before each step."""
    rows = [stage.features(view, np.random.default_rng(i)) for i, view in enumerate(views)]
    batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    side, none = stage.init(jax.random.key(0), batch)
    assert none is None
    adam = optax.adam(learning_rate)

    @jax.jit
    def step(params, stats, state):
        def total(params):
            terms, (stats_, _) = stage.generator_loss(params, stats, {}, {}, batch, jax.random.key(1))
            return sum(stage.weights[name] * terms[name] for name in stage.weights), (terms, stats_)

        (value, (terms, stats)), gradient = jax.value_and_grad(total, has_aux=True)(params)
        change, state = adam.update(gradient, state)
        return optax.apply_updates(params, change), stats, state, value, terms

    params, stats, state, values = side["params"], side["stats"], adam.init(side["params"]), []
    for _ in range(steps):
        params, stats, state, value, terms = step(params, stats, state)
        values.append(float(value))
        assert all(np.isfinite(term) for term in terms.values())
    assert jax.tree.structure(stats) == jax.tree.structure(side["stats"])
    return values
