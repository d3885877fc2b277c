"""The networks at full size by their shapes alone, and small parts against values computed here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.makeittalk import networks
from talkbench.methods.makeittalk.attention import DeviationNorm, positional_table
from talkbench.methods.makeittalk.speaker_vector import VoiceEncoder
from talkbench.methods.makeittalk.translation import ResUnet
from talkbench.methods.makeittalk.voice_conversion import AutoVC, convert_long
from talkbench.weights.torch_layout import abstract_variables

MEL, VOICE = (1, 32, 80), (1, 256)


@pytest.mark.parametrize(
    "network, inputs, count",
    [
        (AutoVC(), (MEL, VOICE, VOICE, (1, 32, 257)), 14_320_960),
        (AutoVC(32, 32, original=True), (MEL, VOICE, VOICE), 28_422_464),
        (VoiceEncoder(), ((1, 160, 40),), 1_423_616),
        (networks.ContentBranch(), ((2, 18, 80), (1, 204)), 1_965_677),
        (networks.SpeakerBranch(), ((2, 18, 80), VOICE), 2_391_820),  # published: and an unused decoder
        (networks.SequenceDiscriminator(pooled=True), ((1, 64, 332),), 748_609),
        (networks.FrameDiscriminator(), ((2, 204),), 236_545),
        (networks.GRUDiscriminator(), ((36, 256), (36, 204)), 1_604_097),
        (ResUnet(), ((1, 64, 64, 6),), 69_860_736),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "apply") else "",
)
def test_number_of_parameters(network, inputs, count):
    params = abstract_variables(network.init, *inputs)["params"]
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)) == count


def test_the_paper_s_speaker_branch_also_sees_the_face():
    network = networks.SpeakerBranch(use_face=True)
    call = jax.eval_shape(
        network.init, jax.random.key(0), jnp.zeros((2, 18, 80)), jnp.zeros(VOICE), None, jnp.zeros((1, 204))
    )
    assert call["params"]["out"]["layers_0"]["kernel"].shape == (64 + 128 + 204, 512)
    with pytest.raises(ValueError, match="needs the face"):
        abstract_variables(network.init, (2, 18, 80), VOICE)


def test_deviation_norm_and_positions():
    norm = DeviationNorm()
    x = jnp.array([[1.0, 3.0], [2.0, 2.0]])
    made = norm.apply(norm.init(jax.random.key(0), x), x)
    np.testing.assert_allclose(made, [[-(0.5**0.5), 0.5**0.5], [0, 0]], atol=1e-5)
    assert np.isfinite(
        jax.grad(lambda x: norm.apply({"params": {"alpha": jnp.ones(2), "bias": jnp.zeros(2)}}, x).sum())(x)
    ).all()
    table = positional_table(4, 64)
    assert table[3, 2] == pytest.approx(np.sin(3 / 10000 ** (4 / 64)))
    assert table[3, 3] == pytest.approx(np.cos(3 / 10000 ** (6 / 64)))


def test_published_windows_leave_the_last_start_out():
    rows = jnp.arange(80.0)[:, None]
    made = networks.published_windows(rows)
    assert made.shape == (16, 64, 1) and made[-1, -1, 0] == 78
    sparse = networks.published_windows(rows, step=16, keep=16)
    assert sparse[..., 0].tolist() == [[0, 16, 32, 48]]
    assert networks.published_windows(rows[:5])[..., 0].tolist() == [[0, 1, 2, 3]]


def test_shapes_of_codes_and_what_autovc_refuses():
    network = AutoVC(neck=2, freq=4, width=16, mels=16)
    mel, voice = (1, 8, 16), (1, 3)
    variables = abstract_variables(network.init, mel, voice, voice, (1, 8, 257))

    def shape(mel, method):
        arrays = [jax.ShapeDtypeStruct(size, jnp.float32) for size in (mel, voice, voice)]
        inputs = arrays[:2] if method == "encode" else arrays
        return jax.eval_shape(lambda v, *x: network.apply(v, *x, method=method), variables, *inputs)

    assert shape(mel, "encode").shape == (1, 2 * 4)
    with pytest.raises(ValueError, match="multiple of 4"):
        shape((1, 6, 16), "encode")
    with pytest.raises(ValueError, match="takes a pitch"):
        shape(mel, "__call__")


def test_long_recordings_are_converted_in_padded_pieces():
    seen = []

    def double(mel, pitch):
        seen.append((mel.shape, float(pitch.sum())))
        return 2 * mel

    mel = np.arange(20.0).reshape(10, 2)
    made = convert_long(double, mel, np.ones((10, 3)), piece=6, multiple=4)
    np.testing.assert_array_equal(made, 2 * mel)
    assert seen == [((1, 8, 2), 18.0), ((1, 4, 2), 12.0)]
