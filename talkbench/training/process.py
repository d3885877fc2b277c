"""What a process sets up before it computes."""

import ctypes
import os

import jax

from talkbench.data.synthetic.materialise import cache_folder

# mallopt's numbers in glibc's malloc.h, and what is asked for.
_MEMORY = {"M_ARENA_MAX": (-8, 1), "M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1)}


def set_up() -> None:
    """Call it before the first array is made: compiled programs are kept between runs, and memory within one."""
    keep_programs()
    keep_memory()


def keep_programs() -> None:
    """Keep compiled programs in talkbench's cache, unless JAX_COMPILATION_CACHE_DIR names another place."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def keep_memory() -> None:
    """Keep the memory that a program on the CPU gives back, for its next call; does nothing where malloc isn't glibc's.

    XLA asks for all of a program's memory anew in every call, and glibc gives pieces so large back to the system: 47,000
    page faults in each step of face-vid2vid's `tiny`, a fifth of its time.
    """
    mallopt = _of_glibc("mallopt")
    for number, value in _MEMORY.values() if mallopt else ():
        mallopt(number, value)


def give_back_memory() -> None:
    """Give memory that is kept and not in use back to the system; does nothing where malloc isn't glibc's.

    Between clips: the holes that threads leave in the memory kept are not always filled, and it would grow for
    hundreds of clips. A few hundredths of a second.
    """
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def _of_glibc(name: str):
    """That function of glibc; None where there is none."""
    try:
        return getattr(ctypes.CDLL("libc.so.6"), name)
    except (OSError, AttributeError):
        return None
