"""Devices: one program from laptop to pod over a mesh with the single axis `data`."""

import os

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def initialize_cluster() -> None:
    """Join the processes of a cluster (SLURM, TPU pod, Open MPI, or JAX's own variables). Call before any other JAX call.

    Does nothing on a single machine: one SLURM node or one TPU host has nobody to join.
    """
    if jax.distributed.is_initialized():
        return
    many = (
        int(os.environ.get("SLURM_NTASKS", "1")) > 1 or int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1
    )
    many = many or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        jax.distributed.initialize(
            os.environ["JAX_COORDINATOR_ADDRESS"],
            num_processes=int(os.environ["JAX_NUM_PROCESSES"]),
            process_id=int(os.environ["JAX_PROCESS_ID"]),
        )
    elif many:
        jax.distributed.initialize()


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
