"""Devices: one program from laptop to pod over a mesh with the single axis `data`."""

import os

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def initialize_cluster() -> None:
    """Join the processes of a cluster: SLURM's srun, Open MPI, a TPU pod, or what JAX_COORDINATOR_ADDRESS names, with
    (where no cluster tells them) JAX_NUM_PROCESSES and JAX_PROCESS_ID. Call before any other JAX call.

    Does nothing on a single machine: one SLURM task or one TPU host has nobody to join.
    """
    if jax.distributed.is_initialized():
        return
    # SLURM_NTASKS also stands in the shell of an allocation, where this process would wait for others in vain.
    tasks = (os.environ.get(name, "1") for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))
    many = any(int(count) > 1 for count in tasks) or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    if many or "JAX_COORDINATOR_ADDRESS" in os.environ:
        given = (os.environ.get(name) for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID"))
        count, number = (value and int(value) for value in given)
        # At the end process 0 may validate for long, with the others waiting in the shutdown.
        jax.distributed.initialize(num_processes=count, process_id=number, shutdown_timeout_seconds=7200)


def data_mesh(devices: list | None = None) -> Mesh:
    """A mesh of all devices (or of those given) along the axis `data`."""
    devices = devices or jax.devices()
    # Explicit axes, the default of make_mesh, would make shardings part of the types; the compiler decides here.
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole."""
    return NamedSharding(mesh, PartitionSpec())


def by_example(mesh: Mesh) -> NamedSharding:
    """The leading axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def put_batch(batch: dict, sharding: NamedSharding) -> dict:
    """This process's share of the host batch -> the global sharded arrays."""
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), batch)
