import jax
import numpy as np
import pytest

from talkbench.nn import winograd
from talkbench.nn.conv import conv


@pytest.mark.parametrize(
    "shape, padding",
    [
        ((2, 9, 8, 5), 1),
        ((1, 8, 7, 5), 0),
        ((1, 5, 6, 5), ((3, 0), (0, 1))),
        ((2, 8, 6, 5), ((0, 1), (0, 0))),
    ],
)
def test_equals_the_direct_form(shape, padding, monkeypatch):
    monkeypatch.setattr(winograd, "NARROWEST", 1)
    monkeypatch.setattr(winograd, "FEWEST_PIXELS", 1)
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 5, 4))
    pairs = padding if isinstance(padding, tuple) else ((padding, padding),) * 2
    assert winograd.pays(x.shape, kernel.shape, pairs)

    ours, theirs = (conv(x, kernel, padding=padding, form=form) for form in ("cpu", "direct"))
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_errs_by_little_more_than_the_direct_form():
    x = jax.random.normal(jax.random.key(0), (1, 32, 32, 128))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 128, 128)) / 34
    exact = sum(
        np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))[:, i : i + 32, j : j + 32]
        @ np.asarray(kernel[i, j], np.float64)
        for i, j in np.ndindex(3, 3)
    )
    short, direct = (
        np.sqrt(np.square(conv(x, kernel, padding=1, form=form) - exact).mean()) for form in ("cpu", "direct")
    )
    assert direct < short < 3 * direct


def test_pays_where_channels_and_pictures_are_large_enough():
    around = ((1, 1), (1, 1))
    wide = (3, 3, 64, 64)
    assert winograd.pays((1, 32, 32, 64), wide, around)
    assert not winograd.pays((1, 16, 16, 64), wide, around)
    assert not winograd.pays((8, 5, 64, 64), wide, around)
    assert not winograd.pays((8, 256, 256, 64), wide, around)
    assert winograd.pays((8, 128, 128, 128), (3, 3, 128, 128), around)
    assert not winograd.pays((8, 64, 64, 48), (3, 3, 48, 64), around)
    assert not winograd.pays((8, 64, 64, 64), (5, 5, 64, 64), around)
