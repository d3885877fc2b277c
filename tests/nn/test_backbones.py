import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.nn.blocks import BottleneckBlock
from talkbench.nn.hourglass import Hourglass
from talkbench.nn.resnet import ResNet
from talkbench.nn.vgg import VGG


def abstract(network, *shapes):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.eval_shape(lambda key, *x: network.init_with_output(key, *x), jax.random.key(0), *inputs)


def parameters(variables):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
    "network, number, width",
    [
        (ResNet(), 23_508_032, 2048),
        (ResNet((2, 2, 2, 2), bottleneck=False), 11_176_512, 512),
        (ResNet(groups=32, base_width=4), 22_979_904, 2048),
    ],
)
def test_resnets_have_the_published_number_of_parameters(network, number, width):
    out, variables = abstract(network, (2, 224, 224, 3))
    assert parameters(variables) == number
    assert out.shape == (2, 7, 7, width)


def test_vgg():
    out, variables = abstract(VGG(), (1, 64, 64, 3))
    assert parameters(variables) == 12_944_960
    assert {tap: x.shape[1:] for tap, x in out.items()} == {
        "relu1_1": (64, 64, 64),
        "relu2_1": (32, 32, 128),
        "relu3_1": (16, 16, 256),
        "relu4_1": (8, 8, 512),
        "relu5_1": (4, 4, 512),
    }
    _, variables = abstract(VGG("vgg16", ("relu5_3",)), (1, 32, 32, 3))
    assert parameters(variables) == 14_714_688
    assert "features_28" in variables["params"]
    with pytest.raises(ValueError, match="relu3_4"):
        abstract(VGG("vgg16", ("relu3_4",)), (1, 32, 32, 3))
    with pytest.raises(ValueError, match="vgg16 or vgg19"):
        abstract(VGG("vgg11"), (1, 32, 32, 3))


def test_hourglass_shapes():
    out, _ = abstract(Hourglass(8, 3, 32), (2, 16, 24, 5))
    assert out.shape == (2, 16, 24, 13)
    out, variables = abstract(Hourglass(8, 2, 16, dims=3, final_block=False), (1, 4, 8, 8, 5))
    assert out.shape == (1, 4, 8, 8, 13)
    assert set(variables["params"]["decoder"]) == {"up_blocks_0", "up_blocks_1"}
    with pytest.raises(ValueError, match="divisible by 8"):
        abstract(Hourglass(8, 3, 32), (2, 12, 24, 5))


def test_bottleneck_projects_its_shortcut_only_with_stride():
    out, variables = abstract(BottleneckBlock(2), (1, 8, 8, 16))
    assert out.shape == (1, 4, 4, 16) and "skip" in variables["params"]
    assert "skip" not in abstract(BottleneckBlock(), (1, 8, 8, 16))[1]["params"]
