import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.nn.conv import Conv, ConvTranspose, Linear, conv, conv_transpose, conv_upsampled

KEY = jax.random.key(0)


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def agree(f, g, *inputs):
    """Two forms give the same values and the same gradients."""

    @jax.jit
    def both(*inputs):
        made = []
        for form in (f, g):
            value, back = jax.vjp(form, *inputs)
            made.append((value, *back(2 * value)))
        return made

    for ours, theirs in zip(*both(*inputs), strict=True):
        scale = max(1.0, float(jnp.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * scale)


@pytest.mark.parametrize(
    "shape, kernel, options",
    [
        ((2, 9, 5), (3, 5, 4), {"padding": 2, "dilation": 2}),
        ((2, 7, 8, 6), (3, 3, 1, 6), {"padding": 1, "stride": 2, "groups": 6}),
        ((1, 7, 9, 4), (3, 2, 2, 6), {"padding": ((1, 0), (0, 2)), "groups": 2}),
        ((2, 5, 6, 7, 3), (3, 3, 3, 4), {"padding": 1}),
        ((2, 7, 6, 3), (2, 3, 4), {"padding": ((2, -1), (0, 3))}),
        (
            (1, 6, 6, 5, 3),
            (3, 1, 3, 3, 2),
            {"padding": (2, 0, 1), "stride": (1, 2, 1), "dilation": (2, 1, 1)},
        ),
        ((2, 4, 6, 5, 3), (1, 1, 1, 3, 2), {"stride": (2, 1, 1)}),
        ((2, 8, 8, 3), (3, 3, 4), {"padding": 2, "dilation": 2}),
        ((2, 9, 11, 3), (2, 3, 4), {"padding": ((0, 2), (3, 1)), "dilation": (3, 2)}),
        ((2, 8, 9, 5), (7, 5, 5, 3), {"padding": ((3, 2), (0, 4))}),
        ((2, 9, 8, 3), (5, 4, 3, 6), {"padding": ((2, 1), (0, 3)), "stride": 2}),
        ((2, 10, 7, 2), (2, 2, 4), {"padding": 1, "stride": (3, 2)}),
    ],
)
def test_forms_agree(shape, kernel, options):
    if len(kernel) < len(shape):
        kernel = (3, *kernel)
    agree(
        lambda x, w: conv(x, w, form="cpu", **options),
        lambda x, w: conv(x, w, form="direct", **options),
        normal(1, *shape),
        normal(2, *kernel),
    )


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 4, 1, 3, 2)])
def test_upsampled_forms_agree(shape):
    window = (3,) * (len(shape) - 2)
    x, w = normal(1, *shape), normal(2, *window, shape[-1], 3)
    agree(
        lambda x, w: conv_upsampled(x, w, form="cpu"), lambda x, w: conv_upsampled(x, w, form="direct"), x, w
    )
    doubled = x.repeat(2, -3).repeat(2, -2)
    expected = conv(doubled, w, padding=1, form="direct")
    np.testing.assert_allclose(conv_upsampled(x, w), expected, rtol=1e-4, atol=1e-5)
    layer = Conv(3, window, padding=1, upsample=True, use_bias=False)
    np.testing.assert_allclose(layer.apply({"params": {"kernel": w}}, x), expected, rtol=1e-4, atol=1e-5)


def scattered(x, w, stride, padding, extra):
    """Transposed convolution by its definition: every input pixel adds its scaled window to the output."""
    (n, height, width, _), (kh, kw, _, features) = x.shape, w.shape
    full = np.zeros((n, (height - 1) * stride + kh + extra, (width - 1) * stride + kw + extra, features))
    for i in range(height):
        for j in range(width):
            full[:, i * stride : i * stride + kh, j * stride : j * stride + kw] += np.einsum(
                "ni,hwio->nhwo", x[:, i, j], w
            )
    return full[:, padding : full.shape[1] - padding, padding : full.shape[2] - padding]


@pytest.mark.parametrize(
    "window, stride, padding, extra",
    [(4, 2, 1, 0), (3, 2, 1, 1), (5, 3, 2, 2), (2, 3, 0, 1)],
)
def test_conv_transpose(window, stride, padding, extra):
    x, w = normal(1, 2, 4, 5, 3), normal(2, window, window, 3, 2)
    options = {"stride": stride, "padding": padding, "output_padding": extra}
    expected = scattered(np.asarray(x), np.asarray(w), stride, padding, extra)
    made = jax.jit(lambda x, w: conv_transpose(x, w, form="cpu", **options))(x, w)
    np.testing.assert_allclose(made, expected, atol=1e-4)
    agree(
        lambda x, w: conv_transpose(x, w, form="cpu", **options),
        lambda x, w: conv_transpose(x, w, form="direct", **options),
        x,
        w,
    )


def test_conv_transpose_is_the_gradient_of_conv_in_one_and_three_axes():
    for dims in (1, 3):
        x, w = normal(1, 1, *(5,) * dims, 2), normal(2, *(3,) * dims, 3, 2)
        _, back = jax.vjp(lambda y, w=w: conv(y, w, stride=2, padding=1), jnp.zeros((1, *(9,) * dims, 3)))
        (expected,) = back(x)
        swapped = jnp.swapaxes(w, -1, -2)
        made = jax.jit(lambda x, w: conv_transpose(x, w, stride=2, padding=1, form="cpu"))(x, swapped)
        np.testing.assert_allclose(made, expected, atol=1e-4)


def test_default_initialisation_is_uniform_in_the_inverse_root_of_fan_in():
    params = Conv(400, (3, 3)).init(KEY, jnp.zeros((1, 4, 4, 8)))["params"]
    bound = 1 / np.sqrt(8 * 9)
    for leaf in jax.tree.leaves(params):
        assert float(jnp.abs(leaf).max()) <= bound
        assert float(leaf.std()) == pytest.approx(bound / np.sqrt(3), rel=0.1)
    params = Linear(1000).init(KEY, jnp.zeros((1, 16)))["params"]
    assert float(jnp.abs(params["kernel"]).max()) == pytest.approx(0.25, rel=0.01)


def test_reflection_padding():
    layer = Conv(1, (3,), padding=1, padding_mode="reflect", use_bias=False)
    made = layer.apply({"params": {"kernel": jnp.ones((3, 1, 1))}}, jnp.arange(4.0).reshape(1, 4, 1))
    np.testing.assert_allclose(made[0, :, 0], [1 + 0 + 1, 3, 6, 2 + 3 + 2])


def test_computation_type_does_not_change_the_parameters():
    layer = ConvTranspose(4, (4, 4), 2, 1, dtype=jnp.bfloat16)
    x = jnp.ones((1, 3, 3, 2))
    variables = layer.init(KEY, x)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    made = layer.apply(variables, x)
    assert made.dtype == jnp.bfloat16 and made.shape == (1, 6, 6, 4)


@pytest.mark.parametrize(
    "layer, shape, message",
    [
        (Conv(4, (3, 3)), (1, 5, 2), "window"),
        (Conv(4, (5, 5), padding=1, upsample=True), (1, 5, 5, 4), "3 wide"),
        (Conv(4, (3, 3), upsample=True), (1, 5, 5, 4), "padding 1"),
        (Conv(4, (3, 3), groups=3), (1, 5, 5, 4), "groups"),
        (Conv(4, (3, 3), padding=(1, 1, 1)), (1, 5, 5, 4), "padding"),
        (Conv(4, (3, 3), stride=(1, 1, 1)), (1, 5, 5, 4), "spatial axis"),
    ],
)
def test_wrong_sizes_are_named(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.init(KEY, jnp.zeros(shape))


def test_gradients_of_gradients_agree():
    """A penalty on a gradient goes through the convolution's own rule twice."""
    x, w = normal(1, 2, 6, 5, 3), normal(2, 3, 3, 3, 4)

    def penalty(form):
        def slope(x, w):
            return jax.grad(lambda x: jnp.sin(conv(x, w, padding=1, form=form)).sum())(x)

        return jax.grad(lambda x, w: (slope(x, w) ** 2).sum(), (0, 1))(x, w)

    for ours, theirs in zip(penalty("cpu"), penalty("direct"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_gradients_of_large_pictures_are_taken_in_pieces(monkeypatch):
    x, w = normal(1, 3, 6, 5, 3), normal(2, 3, 3, 3, 4)

    def program_and_result():
        gradient = jax.grad(lambda w: jnp.sin(conv(x, w, padding=1, form="cpu")).sum())
        return str(jax.make_jaxpr(gradient)(w)), gradient(w)

    program, whole = program_and_result()
    assert "scan" not in program
    monkeypatch.setattr("talkbench.nn.conv_forms.LARGEST_COPY", 1)
    program, summed = program_and_result()
    assert "length=3" in program
    np.testing.assert_allclose(summed, whole, rtol=1e-4, atol=1e-5)


def test_a_large_transposed_convolution_is_one_convolution(monkeypatch):
    x, w = normal(1, 1, 6, 5, 3), normal(2, 3, 3, 3, 4)

    def program_and_result():
        transposed = lambda x: conv_transpose(x, w, stride=2, padding=1, form="cpu")  # noqa: E731
        return str(jax.make_jaxpr(transposed)(x)), transposed(x)

    program, quick = program_and_result()
    assert "conv_general_dilated" not in program
    monkeypatch.setattr("talkbench.nn.conv_forms.LARGEST_SPREAD", 1)
    program, whole = program_and_result()
    assert "conv_general_dilated" in program
    np.testing.assert_allclose(whole, quick, atol=1e-5)
