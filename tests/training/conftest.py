import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import orbax.checkpoint as ocp
import pytest
import toy_method

from talkbench import config as configs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Compiled programs, shared by this process and those that the tests start."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def _cached(cache, monkeypatch):
    settings = {
        "jax_compilation_cache_dir": str(cache),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        monkeypatch.setenv(name.upper(), str(value))
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return toy_method.make_store(tmp_path_factory.mktemp("data") / "toyset")


@pytest.fixture
def config(monkeypatch):
    """`config("train.steps=3", ...)`: the toy's config."""
    toy_method.install(monkeypatch.setattr)
    return lambda *changes: configs.load("toy", "tiny", configs.overrides([f"--config.{c}" for c in changes]))


class Command:
    """`talkbench train --method toy` in a process (group) of its own."""

    def __init__(self, arguments, env):
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/training/toy_method.py"), *arguments], env=env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def wait_for(self, text: str) -> str:
        """The first line of output with `text` in it."""
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(f"no {text!r}; {self.process.stderr.read()}")

    def signal(self, number: int, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self, code: int, timeout: float = 300) -> tuple[str, str]:
        """What it prints until it ends with `code`."""
        out, err = self.process.communicate(timeout=timeout)
        assert self.process.returncode == code, (self.process.returncode, out, err)
        return out, err


@pytest.fixture
def command(cache, store, monkeypatch):
    """`command(out, "train.steps=3", ..., devices=1, **environment)` starts a run."""
    started = []

    def start(out: Path, *changes: str, devices: int = 1, **environment: str) -> Command:
        flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
        env = {
            **os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/training'}", "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": flags, **environment,
        }  # fmt: skip
        arguments = [f"--data=folder={store.folder}", f"--out={out}", "--no-validation"]
        started.append(Command([*arguments, *(f"--config.{c}" for c in changes)], env))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.signal(signal.SIGKILL, group=True)
        run.process.communicate()


@pytest.fixture
def saved_state():
    """`saved_state(folder, step=None)`: all leaves of a checkpoint as numpy arrays by path."""

    def read(folder: Path, step: int | None = None) -> dict:
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])  # whatever devices it was saved from
        with ocp.CheckpointManager(
            folder / "checkpoints", item_handlers={"state": ocp.StandardCheckpointHandler()}
        ) as m:
            step = m.latest_step() if step is None else step
            saved = m.item_metadata(step).state
            saved = getattr(saved, "tree", saved)
            target = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=here), saved)
            restored = m.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))[
                "state"
            ]
        flat = jax.tree_util.tree_flatten_with_path(restored)[0]
        plain = lambda x: jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x  # noqa: E731
        return {jax.tree_util.keystr(path): jax.device_get(plain(leaf)) for path, leaf in flat}

    return read
