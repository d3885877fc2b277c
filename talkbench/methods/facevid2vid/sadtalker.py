"""SadTalker's mapping network: 3DMM coefficients to the pose that drives face-vid2vid's generator (Zhang et
al., CVPR 2023).

Its other differences are options of this method: `mask_threshold` 1e-3 of the generator, `vertical_only` and
given angles of `pose.transform_keypoints`, absolute motion only.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.methods.facevid2vid.networks import NUM_BINS
from talkbench.nn.conv import Conv, Linear

WINDOW_RADIUS = 13


class MappingNet(nn.Module):
    """Coefficient windows (B, T, C) -> yaw, pitch, roll logits (B, 66), t (B, 3), exp (B, 3K).

    C is 70 (64 expression, 3 angles, 3 translation), or 73 with the source's 3 crop parameters; the published
    T is 27. Unlike the image estimator's, its layers are named for what they are.
    """

    num_keypoints: int = 15
    features: int = 1024
    layers: int = 3
    num_bins: int = NUM_BINS
    dtype: Any = None

    @nn.compact
    def __call__(self, coefficients: jax.Array) -> dict[str, jax.Array]:
        shortest = 7 + 6 * self.layers
        if coefficients.shape[1] < shortest:
            raise ValueError(
                f"the mapping network needs windows of at least {shortest} frames, got {coefficients.shape}"
            )
        x = Conv(self.features, (7,), dtype=self.dtype, name="first_0")(coefficients)
        for i in range(self.layers):
            y = nn.leaky_relu(x, 0.1)
            y = Conv(self.features, (3,), dilation=3, dtype=self.dtype, name=f"encoder{i}_1")(y)
            x = y + x[:, 3:-3]
        x = x.astype(jnp.float32).mean(1)
        pose = {angle: Linear(self.num_bins, name=f"fc_{angle}")(x) for angle in ("yaw", "pitch", "roll")}
        pose["t"] = Linear(3, name="fc_t")(x)
        pose["exp"] = Linear(3 * self.num_keypoints, name="fc_exp")(x)
        return pose


def windows(coefficients: np.ndarray, radius: int = WINDOW_RADIUS) -> np.ndarray:
    """Coefficients (T, C) -> a window around each frame (T, 2 radius + 1, C), indices clamped at the ends."""
    number = len(coefficients)
    index = np.arange(number)[:, None] + np.arange(-radius, radius + 1)
    return coefficients[np.clip(index, 0, number - 1)]
