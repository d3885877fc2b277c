import jax
import jax.numpy as jnp
import numpy as np
import pytest

from talkbench.methods.facevid2vid import equivariance, losses, motion, sadtalker
from talkbench.methods.facevid2vid import pose as posing

K = 6


def random_pose(seed=0, batch=2):
    keys = jax.random.split(jax.random.key(seed), 5)
    made = {
        name: 4 * jax.random.normal(key, (batch, 66)) for name, key in zip(("yaw", "pitch", "roll"), keys)
    }
    made["t"] = 0.1 * jax.random.normal(keys[3], (batch, 3))
    made["exp"] = 0.1 * jax.random.normal(keys[4], (batch, 3 * K))
    return made


def random_keypoints(seed=9, batch=2):
    return jax.random.uniform(jax.random.key(seed), (batch, K, 3), minval=-0.5, maxval=0.5)


def test_degrees_of_certain_bins():
    certain = 50 * jax.nn.one_hot(jnp.array([0, 33, 65]), 66)
    np.testing.assert_allclose(posing.degrees(certain), [-99, 0, 96], atol=1e-4)


def test_rotation_axes():
    def turned(vector, **angles):
        full = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, **angles}
        return posing.rotation_matrix(**full, pi=np.pi) @ jnp.array(vector)

    np.testing.assert_allclose(turned([0.0, 1, 0], pitch=90.0), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(turned([0.0, 0, 1], yaw=90.0), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(turned([1.0, 0, 0], roll=90.0), [0, 1, 0], atol=1e-6)
    rough = posing.rotation_matrix(90.0, 0.0, 0.0)
    assert abs(float(rough[0, 0])) == pytest.approx(np.cos(3.14 / 2), abs=1e-6)
    with pytest.raises(ValueError, match="published or beta"):
        posing.rotation_matrix(0.0, 0.0, 0.0, rotation="xyz")


def test_transformation_leaves_its_pose_alone_and_takes_given_angles():
    canonical, pose = random_keypoints(), random_pose()
    before = {name: np.array(value) for name, value in pose.items()}
    still = posing.transform_keypoints(canonical, pose, yaw=0, pitch=0, roll=0)
    assert {name: value.shape for name, value in pose.items()} == {n: v.shape for n, v in before.items()}
    delta = pose["exp"].reshape(2, K, 3)
    np.testing.assert_allclose(still, canonical + pose["t"][:, None] + delta, atol=1e-6)
    flat = posing.transform_keypoints(
        canonical, pose, yaw=0, pitch=0, roll=0, vertical_only=True, with_expression=False
    )
    np.testing.assert_allclose((flat - canonical)[..., [0, 2]], 0, atol=1e-6)


def test_relative_motion():
    source, driving, initial = (random_keypoints(i) for i in range(3))
    np.testing.assert_allclose(motion.relative_keypoints(source, initial, initial, 3.0), source, atol=1e-6)
    np.testing.assert_allclose(motion.relative_keypoints(initial, driving, initial), driving, atol=1e-6)
    points = np.asarray(source[0])
    assert motion.adapt_scale(4 * points, points) == pytest.approx(np.sqrt(4**3), rel=1e-5)


def test_best_frame_does_not_see_position_or_size():
    rng = np.random.default_rng(0)
    landmarks = rng.normal(size=(4, 68, 2)) * 20 + 100
    landmarks[0] = np.nan
    assert motion.best_frame(3 * landmarks[2] + 50, landmarks) == 2
    with pytest.raises(ValueError, match="no driving frame"):
        motion.best_frame(landmarks[1], landmarks[:1])


def test_user_control_and_redirection():
    canonical, pose = random_keypoints(), random_pose()
    same = posing.transform_keypoints(canonical, pose)
    np.testing.assert_allclose(motion.user_keypoints(canonical, pose, jnp.eye(3)), same, atol=1e-6)
    shifted = motion.user_keypoints(canonical, pose, jnp.eye(3), jnp.array([0.1, 0, 0]))
    np.testing.assert_allclose(
        shifted - same, jnp.broadcast_to(jnp.array([0.1, 0, 0]), same.shape), atol=1e-6
    )
    own = posing.pose_rotation(pose)
    np.testing.assert_allclose(motion.redirect_keypoints(canonical, pose, own), same, atol=1e-6)
    np.testing.assert_allclose(
        motion.redirect_keypoints(canonical, pose, own, rotate_expression=True), same, atol=1e-5
    )
    front = motion.redirect_keypoints(canonical, pose)
    np.testing.assert_allclose(
        front, posing.transform_keypoints(canonical, pose, yaw=0, pitch=0, roll=0), atol=1e-6
    )
    fixed = motion.redirect_keypoints(canonical, pose, fix_depth=True)
    np.testing.assert_allclose(fixed[..., 2].mean(1), 0.33, atol=1e-6)
    np.testing.assert_allclose(fixed[..., :2], front[..., :2])


def test_relative_rotation_undoes_the_driver():
    source, driving = posing.pose_rotation(random_pose(1)), posing.pose_rotation(random_pose(2))
    turn = posing.relative_rotation(source, driving)
    np.testing.assert_allclose(turn @ driving, source, atol=1e-5)


def test_equivariance_is_zero_for_the_identity_and_for_equivariant_keypoints():
    keypoints = random_keypoints()
    still = equivariance.from_noise(jnp.zeros((2, 2, 3)), jnp.zeros((2, 25)))
    assert float(losses.equivariance(keypoints, keypoints, still)) < 1e-6
    transform = equivariance.draw(jax.random.key(3), 2)
    there = keypoints.at[..., :2].set(equivariance.warp_points(transform, keypoints[..., :2]))
    assert float(losses.equivariance(there, keypoints, transform)) < 1e-6
    assert float(losses.equivariance(keypoints, keypoints, transform)) > 1e-3
    assert not np.allclose(transform.theta[0], transform.theta[1])


def test_adversarial_losses():
    def output(value):
        return [([jnp.full((1, 2, 2, 1), value)], jnp.full((2, 3, 3, 1), value))]

    real, fake = output(0.25), output(-0.5)
    assert float(losses.discriminator_gan(real, fake)) == pytest.approx(0.75 + 0.5)
    assert float(losses.discriminator_gan(output(2.0), output(-2.0))) == 0
    assert float(losses.discriminator_gan(real, fake, "ls")) == pytest.approx(0.75**2 + 0.25)
    assert float(losses.generator_gan(fake)) == pytest.approx(0.5)
    assert float(losses.generator_gan(fake, "ls")) == pytest.approx(1.5**2)
    assert float(losses.feature_matching(real, fake)) == pytest.approx(0.75)
    assert float(losses.generator_gan(fake * 2)) == pytest.approx(1.0)  # scales are summed
    with pytest.raises(ValueError, match="hinge or ls"):
        losses.generator_gan(fake, "wgan")


def test_teachers_and_targets_get_no_gradient():
    angles = tuple(jnp.arange(2.0) for _ in range(3))
    gradient = jax.grad(lambda teacher: losses.headpose(angles, teacher))(tuple(a + 1 for a in angles))
    assert all(float(jnp.abs(g).max()) == 0 for g in gradient)
    assert float(losses.headpose(angles, tuple(a + 2 for a in angles))) == pytest.approx(6)
    assert float(losses.expression(-jnp.ones((2, 45)))) == 45


def test_mapping_windows_clamp_at_the_ends():
    made = sadtalker.windows(np.arange(5.0)[:, None], radius=2)[:, :, 0]
    assert made[0].tolist() == [0, 0, 0, 1, 2]
    assert made[4].tolist() == [2, 3, 4, 4, 4]
    with pytest.raises(ValueError, match="25 frames"):
        sadtalker.MappingNet(features=4).init(jax.random.key(0), jnp.zeros((1, 20, 70)))
