"""The optimiser that a config describes."""

import optax
from ml_collections import ConfigDict


def learning_rate(config: ConfigDict, steps: int) -> optax.Schedule:
    """The schedule by update count: linear warm-up, then `constant`, `cosine` to zero, `steps` (falls by factors), or
    `hold` (constant up to the first boundary, then linearly to zero).

    Args:
        config: `learning_rate`, `warmup_steps`, `schedule`, `boundaries` (shares of `steps`), `factor`.
        steps: length of the run in updates.
    """
    rate = config.learning_rate
    warmup = min(config.warmup_steps, max(steps - 1, 0))
    if config.schedule == "constant":
        rest = optax.constant_schedule(rate)
    elif config.schedule == "cosine":
        rest = optax.cosine_decay_schedule(rate, max(steps - warmup, 1))
    elif config.schedule == "steps":
        rest = optax.piecewise_constant_schedule(
            rate, {int(steps * b) - warmup: config.factor for b in config.boundaries}
        )
    elif config.schedule == "hold":
        begin = max(int(steps * config.boundaries[0]) - warmup, 0)
        rest = optax.linear_schedule(rate, 0.0, max(steps - warmup - begin, 1), begin)
    else:
        raise ValueError(f"optimizer.schedule={config.schedule!r}: there are constant, cosine, steps, hold")
    if not warmup:
        return rest
    return optax.join_schedules([optax.linear_schedule(0.0, rate, warmup), rest], [warmup])


def make(config: ConfigDict, steps: int) -> optax.GradientTransformation:
    """Adam (AdamW with `weight_decay`) after global-norm clipping (`clip_norm` > 0).

    `skip_nonfinite` > 0 leaves out that many updates in a row with a non-finite gradient before letting one through
    (which the trainer's guard then reports).
    """
    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    parts.append(
        optax.adamw(
            learning_rate(config, steps), config.b1, config.b2, config.eps, weight_decay=config.weight_decay
        )
    )
    transform = optax.chain(*parts)
    if config.skip_nonfinite:
        transform = optax.apply_if_finite(transform, config.skip_nonfinite)
    return transform
