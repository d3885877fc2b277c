"""Sound and pictures before the networks see them. numpy only."""

import pickle

import numpy as np
import pytest

from talkbench.data.clip import Clip
from talkbench.data.view import view_of
from talkbench.methods.pcavs import augment, frames, mel
from talkbench.methods.pcavs.features import (
    FeatureError,
    Moments,
    Pictures,
    Portrait,
    Reconstruction,
    Speech,
    pose_numbers,
)


def sound(count=12, seed=0):
    return np.random.default_rng(seed).normal(0, 0.05, count * 640).astype(np.float32)


def clip(count=12, size=32, labels=True):
    rng = np.random.default_rng(1)
    marks = rng.uniform(4, size - 4, (count, 68, 3)).astype(np.float32) if labels else None
    pose = np.tile(np.float32([30, 0, -15, 2, 0, 1]), (count, 1)) if labels else None
    pictures = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Clip("c", "somebody", pictures, sound(count), landmarks=marks, pose=pose)


def test_windows_are_the_published_ones_at_their_own_frames():
    audio = sound()
    numbers, starts, published = mel.published_windows(mel.mel(audio))
    ours = mel.windows(audio)
    assert ours.shape == (12, 80, 20)
    assert numbers[0] == 2 and starts[0] == 0
    np.testing.assert_allclose(ours[numbers], published, atol=1e-5)


def test_a_frame_hears_its_own_time():
    """The published video starts at frame 2 but is played from 0; here frame i is that of sound frame i."""
    audio, k = np.zeros(20 * 640, np.float32), 9
    audio[640 * k + 320] = 0.5
    heard = np.abs(mel.windows(audio)).max((1, 2)) > 0
    assert heard.tolist() == [k - 2 <= i <= k + 4 for i in range(20)]  # the published window, for every i


def test_reading_part_of_a_sound_is_the_same():
    audio = sound()
    view = view_of(clip())
    for chosen in (np.array([0]), np.arange(4, 9), np.array([11])):
        part = mel.windows_of_frames(view.samples, chosen, mel.loudness(audio))
        np.testing.assert_allclose(part, mel.windows(audio)[chosen], atol=2e-4)


def test_loudness_does_not_matter_and_silence_is_silent():
    audio = sound()
    np.testing.assert_allclose(mel.mel(audio), mel.mel(0.1 * audio), atol=1e-4)
    assert mel.windows(np.zeros(6400, np.float32)).max() == 0
    assert mel.mel(audio).shape == (12 * 4 + 7, 80)


def test_ping_pong():
    assert frames.ping_pong(8, 3).tolist() == [0, 1, 2, 2, 1, 0, 0, 1]
    assert frames.ping_pong(3, 1).tolist() == [0, 0, 0]


def test_alignment_holds_mouth_and_size():
    rng = np.random.default_rng(0)
    face = rng.normal(0, 20, (68, 2)) + 100
    drift = np.cumsum(rng.normal(0, 1, (30, 1, 2)), 0)
    common, matrices = frames.alignment(face + drift)
    points = frames.three_points(face + drift)
    mouth = np.einsum("tij,tj->ti", matrices[:, :, :2], points[:, 2]) + matrices[:, :, 2]
    assert np.abs(mouth - frames.TEMPLATE[2]).max() < 1.5  # the smoothing lags by a quarter of a step
    assert np.ptp(matrices[:, :, :2], axis=0).max() == 0
    np.testing.assert_allclose(matrices[0, :, :2], common[:, :2])
    with pytest.raises(frames.AlignmentError, match="every frame"):
        frames.alignment(np.full((3, 68, 2), np.nan))
    assert frames.align(np.zeros((2, 50, 40, 3), np.uint8), np.tile(face, (2, 1, 1))).shape == (
        2,
        224,
        224,
        3,
    )


def test_crop_and_range():
    picture = np.zeros((1, 224, 224, 3), np.uint8)
    picture[0, :192, 16:208] = 255
    assert frames.crop(picture).min() == 255
    assert frames.to_unit(np.uint8([0, 255])).tolist() == [-1, 1]


def test_colour_forms():
    picture = np.tile(np.uint8([10, 100, 200]), (1, 4, 4, 1))
    assert augment.recolour(picture, 1.5, (1, 3))[0, 0, 0].tolist() == [10, 150, 255]
    assert augment.recolour(picture, 1.0, (0, 3), (2, 0, 1))[0, 0, 0].tolist() == [200, 10, 100]
    assert picture[0, 0, 0].tolist() == [10, 100, 200]
    drawn = [augment.draw(np.random.default_rng(i)) for i in range(60)]
    assert {d.channels for d in drawn} == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)}
    assert all(0.3 <= d.gain <= 1.6 and d.order == (0, 1, 2) for d in drawn)
    assert all(15 <= d.squeeze <= 24 and 0 <= d.extend < d.squeeze // 2 for d in drawn)
    assert all(20 <= abs(d.slant) <= 29 and 20 <= abs(d.reach) <= 39 for d in drawn)
    assert len({augment.draw(np.random.default_rng(i), "shuffle").order for i in range(40)}) == 6
    with pytest.raises(ValueError, match="gain, shuffle, none"):
        augment.draw(np.random.default_rng(0), "swap")


def test_shape_changes_keep_the_size():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert augment.stretch(picture, 5, 2).shape == (68, 68, 3)
    wide = augment.stretch(picture.swapaxes(0, 1).copy(), 5, 2, narrow=False)
    np.testing.assert_array_equal(wide, augment.stretch(picture, 5, 2).swapaxes(0, 1))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        change = augment.draw(rng)
        made = augment.finish(augment.reshape(picture, change), change, rng)
        assert made.shape == picture.shape and made.dtype == np.uint8


def test_examples_are_what_they_say():
    view = view_of(clip())
    plain = Pictures(crop=False, colour="none", shape=False, blur=False)
    features = pickle.loads(pickle.dumps(Reconstruction(plain, people=4, mouth=True, pose=True)))
    example = features(view, np.random.default_rng(3))
    of = lambda picture: next(i for i in range(12) if (view.frame(i) == picture).all())  # noqa: E731
    target = of(example["target"])
    assert of(example["posing"]) == target and 0 <= of(example["source"]) < 12
    np.testing.assert_allclose(example["heard"], mel.windows(sound())[target], atol=2e-4)
    assert example["label"] == 0 and example["label"].dtype == np.int32
    np.testing.assert_allclose(example["pose"], [2, 0, -1, 2, 0, 0], atol=1e-6)
    assert set(Portrait(plain, 4)(view, np.random.default_rng(0))) == {"source", "label"}


def test_mirrored_examples_carry_mirrored_labels():
    view = view_of(clip())
    plain = Pictures(crop=False, colour="none", shape=False, blur=False)
    features = Reconstruction(plain, flip=True, mouth=True, pose=True)
    seen = set()
    for seed in range(20):
        example = features(view, np.random.default_rng(seed))
        found = [i for i in range(12) if (view.frame(i) == example["target"]).all()]
        turned = [i for i in range(12) if (view.frame(i)[:, ::-1] == example["target"]).all()]
        assert len(found) + len(turned) == 1
        mouth = view.landmarks[(found or turned)[0], 48:68, :2].mean(0) / 16 - 1
        sign = 1 if found else -1
        np.testing.assert_allclose(example["mouth"][:2], mouth * (sign, 1), atol=1e-5)
        np.testing.assert_allclose(example["pose"], [2 * sign, 0, -sign, 2 * sign, 0, 0], atol=1e-6)
        seen.add(sign)
    assert seen == {1, -1}


def test_the_pair_of_frames_changes_colour_together():
    view = view_of(clip(count=1))
    plain = Pictures(crop=False, colour="none", shape=False, blur=False)
    example = Reconstruction(plain, jitter=(0.5, 0.5, 0.5, 0.0))(view, np.random.default_rng(0))
    np.testing.assert_array_equal(example["source"], example["target"])
    assert (example["source"] != view.frame(0)).any()


def test_speech_windows_and_shifted_negatives():
    view = view_of(clip())
    plain = Pictures(crop=False, colour="none", shape=False, blur=False)
    example = Speech(plain, length=3, negatives=4)(view, np.random.default_rng(0))
    assert example["seen"].shape == (3, 32, 32, 3) and example["shifted"].shape == (4, 3, 80, 20)
    first = next(i for i in range(12) if (view.frame(i) == example["seen"][0]).all())
    windows = mel.windows(sound())
    np.testing.assert_allclose(example["heard"], windows[first : first + 3], atol=2e-4)
    for other in example["shifted"]:
        start = np.abs(windows[:10] - other[0]).max((1, 2)).argmin()
        assert abs(start - first) >= 3
    with pytest.raises(FeatureError, match="sync.length=12"):
        Speech(plain, length=13)(view, np.random.default_rng(0))
    with pytest.raises(FeatureError, match="sync.negatives=0"):
        Speech(plain, length=12, negatives=1)(view, np.random.default_rng(0))


def test_missing_labels_are_named_with_the_switch():
    view = view_of(clip(labels=False))
    with pytest.raises(FeatureError, match="loss.mouth=0"):
        Reconstruction(Pictures(), mouth=True)(view, np.random.default_rng(0))
    with pytest.raises(FeatureError, match="loss.pose_code=0"):
        Reconstruction(Pictures(), pose=True)(view, np.random.default_rng(0))
    with pytest.raises(FeatureError, match="num_classes=1"):
        Portrait(Pictures(), 0)(view, np.random.default_rng(0))


def test_pose_numbers_are_zero_for_a_frontal_face():
    assert not pose_numbers(np.float32([0, 0, 0, 0, 0, 1]), 64).any()


def test_moments_are_frames_with_their_own_sound():
    view = view_of(clip())
    plain = Pictures(crop=False, colour="none", shape=False, blur=False)
    example = Moments(plain, length=2)(view, np.random.default_rng(0))
    places = [next(i for i in range(12) if (view.frame(i) == frame).all()) for frame in example["seen"]]
    assert places[0] < places[1] < places[0] + 8
    np.testing.assert_allclose(example["heard"], mel.windows(sound())[places], atol=2e-4)
    with pytest.raises(FeatureError, match="sync.length=12"):
        Moments(plain, length=13)(view, np.random.default_rng(0))
