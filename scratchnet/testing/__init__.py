"""Tools to test code that must run on a GPU, on machines that have none.

``with scratchnet.using("strict"):`` (after importing this module) makes new arrays :class:`StrictArray` objects: NumPy
inside, CuPy's manners outside. Code that passes on them mixes no libraries, hides no transfer to the host and uses no
name that CuPy does not have. Inside ``with kernels_on_cpu():`` they also run the CUDA kernels, compiled by g++.
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
