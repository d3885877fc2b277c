import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.evaluators import lpips
from talkbench.weights.readers import WeightsFileError

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """lpips-j's two files with random numbers."""
    folder = tmp_path_factory.mktemp("lpips")
    params = lpips.abstract("vgg")["params"]
    with h5py.File(folder / "vgg16_weights.h5", "w") as file:
        for name, layer in params["vgg"].items():
            shape = layer["kernel"].shape
            file[f"{name}/weight"] = rng.standard_normal(shape, np.float32) * np.float32(
                np.sqrt(2 / np.prod(shape[:3]))
            )
            file[f"{name}/bias"] = 0.1 * rng.standard_normal(shape[-1], np.float32)
        file["fc6/weight"] = np.zeros((2, 2), np.float32)  # the published file has the classifier too
    with h5py.File(folder / "lpips_lin.h5", "w") as file:
        for i in range(5):
            file[f"lin{i}"] = np.abs(
                rng.standard_normal(params[f"lins_{i}"]["layer"]["kernel"].shape, np.float32)
            )
    return folder


@pytest.fixture(scope="module")
def variables(files):
    return lpips.read_lpips_j(files / "vgg16_weights.h5", files / "lpips_lin.h5")


def images(count=1, size=16):
    a = rng.uniform(-1, 1, (count, size, size, 3)).astype(np.float32)
    return jnp.asarray(a), jnp.asarray(np.clip(a + 0.3 * rng.standard_normal(a.shape), -1, 1), jnp.float32)


def test_equals_lpips_j(files, variables, monkeypatch):
    import lpips_j.lpips as reference

    monkeypatch.setattr(reference, "hf_hub_download", lambda repo_id, filename: str(files / filename))
    a, b = images()
    network = reference.LPIPS()
    theirs = network.init(jax.random.key(0), a, b)
    assert jax.tree.structure(theirs) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, theirs, variables)
    ours, theirs_of = jax.jit(lpips.LPIPS().apply), jax.jit(lambda v: network.apply(v, a, b)[:, 0, 0, 0])
    first = theirs_of(theirs)
    np.testing.assert_allclose(ours(variables, a, b), first, rtol=2e-6)
    # one tree serves both, so a change in it must show in both alike
    other = jax.tree.map(lambda x: x * 0.9, theirs)
    np.testing.assert_allclose(ours(other, a, b), theirs_of(other), rtol=2e-6)
    assert np.abs(theirs_of(other) / first - 1).max() > 1e-3


def test_uint8_images(variables):
    a = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    b = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    distance = jax.jit(lpips.distance, static_argnames="net")
    network = jax.jit(lpips.LPIPS().apply, static_argnames="layers")
    x, y = a / np.float32(127.5) - 1, b / np.float32(127.5) - 1
    layers = network(variables, x, y, layers=True)
    expected = layers.sum(0)
    np.testing.assert_allclose(distance(variables, a, b), expected, rtol=1e-5)
    assert (distance(variables, a, a) < 1e-12).all()  # rounding may differ along the batch
    assert layers.shape == (5, 2) and (layers > 0).all()
    with pytest.raises(ValueError, match="uint8"):
        lpips.distance(variables, a / np.float32(255), b / np.float32(255))
    with pytest.raises(ValueError, match="one size"):
        lpips.distance(variables, a, b[:, :8])
    with pytest.raises(ValueError, match="choose vgg or alex"):
        lpips.LPIPS("squeeze").init(jax.random.key(0), a, b)


def test_gradient_is_finite(variables):
    a, b = images(1)
    dead = jax.tree.map(lambda x: x, variables)
    dead["params"] = {**dead["params"], "vgg": {**dead["params"]["vgg"]}}
    layer = dead["params"]["vgg"]["conv3_1"]
    dead["params"]["vgg"]["conv3_1"] = {"kernel": layer["kernel"] * 0, "bias": layer["bias"] * 0 - 1}
    grad = jax.jit(jax.grad(lambda v, x, y: lpips.LPIPS().apply(v, x, y).sum(), argnums=1))
    for tree, x, y in ((variables, a, b), (variables, a, a), (dead, a, b)):
        assert np.isfinite(grad(tree, x, y)).all()
    assert np.abs(grad(variables, a, b)).max() > 0


def test_wrong_files(files, tmp_path):
    with pytest.raises(WeightsFileError, match="not lpips-j's files"):
        lpips.read_lpips_j(files / "lpips_lin.h5", files / "lpips_lin.h5")


def test_reads_torch_layout(variables, tmp_path):
    indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    trunk = {}
    for index, layer in zip(indices, sorted(variables["params"]["vgg"]), strict=True):
        values = variables["params"]["vgg"][layer]
        trunk[f"features.{index}.weight"] = np.moveaxis(values["kernel"], (-2, -1), (1, 0))
        trunk[f"features.{index}.bias"] = values["bias"]
    lins = {
        f"lin{i}.model.1.weight": np.moveaxis(
            variables["params"][f"lins_{i}"]["layer"]["kernel"], (-2, -1), (1, 0)
        )
        for i in range(5)
    }
    np.savez(tmp_path / "vgg16.npz", **trunk, **{"classifier.0.weight": np.zeros((4, 4))})
    np.savez(tmp_path / "lins.npz", **lins)
    found = lpips.read_weights(tmp_path / "vgg16.npz", tmp_path / "lins.npz", "vgg")
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    assert set(lpips.read_lins(tmp_path / "lins.npz")["params"]) == {f"lins_{i}" for i in range(5)}
    assert set(lpips.read_vgg16(tmp_path / "vgg16.npz")["params"]) == {"vgg"}
