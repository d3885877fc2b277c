import dataclasses

import numpy as np
import pytest

from talkbench.geometry.face_model import FaceModelError, free_model
from talkbench.geometry.head import EXPRESSION_NAMES, FACE, vertices


def test_free_model_is_the_synthetic_head():
    rng = np.random.default_rng(0)
    model = free_model()
    shape, expression = rng.normal(size=60), rng.uniform(size=33)
    assert model.expression_names[:33] == EXPRESSION_NAMES
    made = model.vertices(shape, np.append(expression, (0, 0)))
    np.testing.assert_allclose(made, vertices(shape, expression)[FACE], atol=1e-5)
    blinking = model.vertices(np.zeros(60), np.eye(35)[33:])
    for right, left, frame in ((1, 0, blinking[0]), (0, 1, blinking[1])):
        wanted = vertices(np.zeros(60), np.zeros(33), (right, left))[FACE]
        np.testing.assert_allclose(frame, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"landmarks": np.zeros(68)}, "68 whole numbers from 0 to 467"),
        ({"landmarks": np.full(68, 468)}, "68 whole numbers from 0 to 467"),
        ({"shape_basis": np.zeros((60, 5, 3))}, "shape basis"),
        ({"expression_deviation": np.zeros(35)}, "35 positive numbers"),
        ({"mean": free_model().mean * (1, -1, 1)}, "check the landmark numbers"),
        ({"mean": free_model().mean * (-1, 1, 1)}, "check the landmark numbers"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(FaceModelError, match=message):
        dataclasses.replace(free_model(), **change)
