"""Measurements of a toy: what is counted is exact, what is timed is there."""

from dataclasses import dataclass

import jax
import numpy as np
import pytest
import toy_method

from talkbench import methods
from talkbench.bench import measure, subject
from talkbench.data.store import Store
from talkbench.evaluators import builtin

FRAMES = 5
LAYER = toy_method.SIZE**2 * 9  # pixels and taps of a toy's convolution


@dataclass(frozen=True)
class Toy:
    """Two stages, of which the second starts from the first; frames are the source, painted over."""

    stages = staticmethod(
        lambda config: [
            toy_method.stage(config, "first"),
            lambda trained: toy_method.stage(config, "second") if trained["first"]["params"] else None,
        ]
    )

    @staticmethod
    def generator(config, variables):
        paint = jax.jit(lambda side, image: image @ side["params"]["net"]["Conv_0"]["kernel"][0, 0, :, :3])
        return lambda source, driving, landmarks=None: np.stack(
            [np.asarray(paint(variables["second"], np.float32(source) + f.mean())) for f in driving.frames]
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy_method.make_store(tmp_path_factory.mktemp("data") / "toyset", clips=3).folder


@pytest.fixture
def request_of(monkeypatch, folder):
    toy_method.install(monkeypatch.setattr)
    monkeypatch.setattr(methods, "load", lambda name: Toy())
    stored = Store(folder)

    def clip(size, person=0, number=0, frames=0):
        found = stored.clip(stored.clip_ids[0])
        assert found.frames.shape[1] == size
        return found

    monkeypatch.setattr(subject, "clip", clip)
    monkeypatch.setattr(measure, "_animate", lambda generate, clip, n: generate(clip.frames[n], clip))
    about = {"method": "toy", "preset": "tiny", "data": f"folder={folder}", "repeats": 3}
    return lambda what, **more: {"what": what, **about, **more}


def test_sizes(request_of):
    found = measure.measured(request_of("cost"))
    first, second = found["stages"]
    assert first["parameters"] == (3 * 9 * 4 + 4) + (2 * 4) + (4 * 9 * 3 + 3)
    assert first["discriminator_parameters"] == (3 * 9 * 4 + 4) + (2 * 4) + (4 * 9 * 1 + 1)
    assert (first["stage"], second["stage"]) == ("first", "second")
    passes = 4 * 3 + 3 * 4  # forward through both layers of the generator, by pixel and tap
    assert first["multiply_adds_an_example"] > 3 * LAYER * passes
    assert found["multiply_adds_a_frame"] == toy_method.SIZE**2 * 3 * 3


def test_training(request_of):
    found = measure.measured(request_of("train", stage=1, batch=2))
    assert "error" not in found and found["stage"] == "second" and found["stages"] == 2
    assert found["batch"] == 2 and found["repeats"] == 3 and found["compile_seconds"] > 0
    assert 0 < found["fastest"] <= found["seconds"] <= found["slowest"]
    assert found["bytes_moved"] > 0 and found["peak_bytes"] > 2**20
    assert found["multiply_adds"] > 0


def test_generation(request_of):
    found = measure.measured(request_of("generate"))
    assert "error" not in found and found["frames"] == FRAMES
    assert found["multiply_adds"] == FRAMES * toy_method.SIZE**2 * 3 * 3
    assert found["bytes_moved"] > 0 and found["compile_seconds"] > 0


def test_a_type_that_changes_nothing_is_told(request_of):
    assert measure._notes({"dtype": "bfloat16"}, {"float32": 3})["note"].startswith("computes in float32")
    assert not measure._notes({"dtype": "bfloat16"}, {"float32": 3, "bfloat16": 1})


def test_data(request_of):
    found = measure.measured(request_of("data"))
    assert found["decode"]["frames"] == FRAMES and found["decode"]["seconds"] > 0
    assert [(stage["stage"], stage["batch"]) for stage in found["stages"]] == [("first", 4), ("second", 4)]


def test_errors_are_one_line_and_other_stages_go_on(request_of, monkeypatch):
    def missing(*_):
        raise ValueError("vgg19 is not there; fetch it\nreally")

    monkeypatch.setattr(measure, "_trained", missing)
    found = measure.measured(request_of("train", stage=0))
    assert found["error"] == "vgg19 is not there; fetch it" and found["stages"] == 2
    assert "no preset 'huge'" in measure.measured(request_of("cost", preset="huge"))["error"]


def test_judges_are_looked_up_and_never_shown_the_same_clip_twice(monkeypatch):
    seen = []

    class Judge:
        def landmarks(self, frames):
            seen.append(frames.tobytes())

    class Clip:
        frames = np.arange(24 * 12, dtype=np.uint8).reshape(24, 2, 2, 3)

    monkeypatch.setitem(builtin.BY_NAME, "toy-judge", Judge)
    monkeypatch.setattr(subject, "clip", lambda size: Clip())
    found = measure.measured({"what": "judge", "judge": "toy-judge", "repeats": 4})
    assert found["frames"] == 24 and len(seen) == 5 == len(set(seen))
