"""Caches of the tests lie in the checkout, and are chosen before anything imports jax or numba."""

import os
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache"

for _variable, _value in {
    "JAX_COMPILATION_CACHE_DIR": CACHE / "jax",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0.5,
    "NUMBA_CACHE_DIR": CACHE / "numba",
    "TALKBENCH_CACHE": CACHE / "talkbench",
    # Programs of tests run for seconds and compile for minutes: a train step in 50 s in place of 190.
    "XLA_FLAGS": "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false",
    "TF_CPP_MIN_LOG_LEVEL": 2,
}.items():
    os.environ.setdefault(_variable, str(_value))
