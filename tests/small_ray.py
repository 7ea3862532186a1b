"""A Ray of this machine's own, small, for the tests of one file."""

from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray import serve


@contextmanager
def small_ray(num_cpus: int = 2) -> Iterator[None]:
    """With whatever was served on it, it ends with the block."""
    ray.init(
        "local",
        num_cpus=num_cpus,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
    )
    yield
    serve.shutdown()
    ray.shutdown()
