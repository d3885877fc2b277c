import numpy as np
import pytest


@pytest.fixture
def pair():
    """Two similar smooth pictures, uint8 (3, 48, 52, 3)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :52]
    waves = [np.sin(x / (5 + k) + c) * np.cos(y / (7 + c) + k) for k in range(3) for c in range(3)]
    real = np.stack(waves).reshape(3, 3, 48, 52).transpose(0, 2, 3, 1) * 100 + 120
    fake = real + rng.normal(0, 15, real.shape)
    return tuple(np.clip(np.round(p), 0, 255).astype(np.uint8) for p in (real, fake))


@pytest.fixture
def tracks():
    """Landmarks of a talking face and a copy with errors, float64 (40, 68, 3), pixels of 256."""
    rng = np.random.default_rng(1)
    from talkbench.geometry.head import mean_face

    face = mean_face() * (80, 80, 80) + (128, 120, 0)
    real = np.repeat(face[None], 40, 0)
    opening = 6 + 5 * np.sin(np.arange(40) / 3)
    real[:, [65, 66, 67], 1] += opening[:, None]
    return real, real + rng.normal(0, 1, real.shape)
