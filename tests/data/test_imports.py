"""Loader workers import these modules: they must stay light."""

import subprocess
import sys

MODULES = "clip view store media folder augment show prepare.pool prepare.run prepare.report".split()
# grain itself imports jax, so not the loader


def test_no_jax():
    imports = ", ".join(f"talkbench.data.{name}" for name in MODULES)
    code = f"import sys, {imports}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
