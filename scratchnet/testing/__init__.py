"""Test code for GPUs on machines without one.

Importing this module registers the backend "strict": inside ``with scratchnet.using("strict"):`` new arrays are
:class:`StrictArray` objects, which compute with NumPy and behave like CuPy's arrays. Code that works on them does not
mix libraries, has no hidden transfers to the host, and uses no name that CuPy lacks. Inside ``with kernels_on_cpu():``
they also run the CUDA kernels, compiled with g++.

Examples
--------
>>> import scratchnet
>>> from scratchnet.backend import asarray
>>> from scratchnet.testing import count_host_syncs
>>> with scratchnet.using("strict"), count_host_syncs() as syncs:
...     loss = float(asarray([1.0, 2.0]).sum())
>>> loss, syncs
(3.0, ['float()'])
"""

from scratchnet.testing.emulator import kernels_on_cpu
from scratchnet.testing.homes import ForgetfulRows, ProcessRows, worker_processes
from scratchnet.testing.strict import HostSyncError, StrictArray, count_host_syncs, no_host_sync, strict

__all__ = [
    "ForgetfulRows",
    "HostSyncError",
    "ProcessRows",
    "StrictArray",
    "count_host_syncs",
    "kernels_on_cpu",
    "no_host_sync",
    "strict",
    "worker_processes",
]
