import jax
import numpy as np
import pytest

from talkbench.nn import winograd
from talkbench.nn.conv import conv


@pytest.mark.parametrize(
    "shape, padding", [((2, 9, 8, 5), 1), ((1, 6, 7, 5), 0), ((1, 5, 6, 5), ((2, 0), (0, 1)))]
)
def test_equals_the_direct_form(shape, padding, monkeypatch):
    monkeypatch.setattr(winograd, "NARROWEST", 1)
    monkeypatch.setattr(winograd, "FEWEST_TILES", 1)
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 5, 4))
    assert winograd.pays(x.shape, kernel.shape)

    ours, theirs = (conv(x, kernel, padding=padding, form=form) for form in ("cpu", "direct"))
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_pays_where_channels_and_pictures_are_large():
    wide = (3, 3, 64, 64)
    assert winograd.pays((1, 32, 32, 64), wide)
    assert not winograd.pays((1, 8, 8, 64), wide)
    assert not winograd.pays((8, 64, 64, 48), (3, 3, 48, 64))
    assert not winograd.pays((8, 64, 64, 64), (5, 5, 64, 64))
