"""The array layer: who an array belongs to, where arrays are born, which error says what is missing."""

from __future__ import annotations

import subprocess
import sys
import threading
import types

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import backend
from scratchnet.backend import BackendError, Rng, asarray, get_xp, to_numpy
from scratchnet.testing import strict


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env={"PATH": "", **env}, capture_output=True, text=True)


# -- arrays decide ----------------------------------------------------------------------------------------------------


def test_get_xp_names_the_module_whatever_the_switch_says(xp):
    a = xp.zeros(3)
    with sn.using("numpy"):
        assert get_xp(a, a) is xp


def test_get_xp_takes_memmaps(tmp_path):
    a = np.memmap(tmp_path / "a", dtype="float32", mode="w+", shape=(2, 2))
    assert get_xp(a, np.zeros(1)) is np


@pytest.mark.parametrize("thing", [[1.0], 3.0, None, "x"])
def test_get_xp_refuses_what_is_no_array(thing):
    with pytest.raises(TypeError, match=r"not a NumPy or CuPy array: .*asarray"):
        get_xp(thing)


def test_mixing_names_both_and_the_converters():
    with pytest.raises(TypeError, match=r"StrictArray and numpy.ndarray.*to_numpy\(x\).*asarray\(x\)"):
        get_xp(strict.zeros(1), np.zeros(1))


def test_moving_there_and_back(xp, dtype):
    a = np.arange(6, dtype=dtype).reshape(2, 3)
    there = asarray(a)
    assert get_xp(there) is xp
    assert there.dtype == a.dtype
    np.testing.assert_array_equal(to_numpy(there), a)
    np.testing.assert_array_equal(to_numpy(asarray(there, xp=np)), a)
    assert asarray([1, 2], dtype="float32").dtype == "float32"


def test_asarray_copies_only_what_must_move():
    a = np.zeros(3)
    assert asarray(a) is a
    assert to_numpy(a) is a
    assert asarray(a, "float32") is not a


# -- the switch -------------------------------------------------------------------------------------------------------


def test_using_nests_and_ends():
    before = sn.current_backend()
    with sn.using("strict"):
        assert sn.current_backend() == "strict"
        with sn.using("numpy"):
            assert sn.current_backend() == "numpy"
        assert sn.current_backend() == "strict"
    assert sn.current_backend() == before


def test_using_ends_after_an_error():
    with pytest.raises(KeyError), sn.using("strict"):
        raise KeyError
    assert sn.current_backend() != "strict"


def test_use_holds_for_other_threads_and_using_does_not(monkeypatch):
    monkeypatch.setattr(backend, "_process_wide", "numpy")
    seen = []
    with sn.using("strict"):
        thread = threading.Thread(target=lambda: seen.append(sn.current_backend()))
        thread.start()
        thread.join()
    sn.use("strict")
    thread = threading.Thread(target=lambda: seen.append(sn.current_backend()))
    thread.start()
    thread.join()
    assert seen == ["numpy", "strict"]


def test_unknown_backend_lists_the_known():
    with pytest.raises(ValueError, match=r"'torch' is unknown.*'auto', 'cupy', 'numpy'"):
        sn.use("torch")


def test_environment_variable_is_read_and_blamed():
    code = "import scratchnet as sn; print(sn.current_backend())"
    assert python(code, SCRATCHNET_BACKEND="auto").stdout.strip() in ("numpy", "cupy")
    assert python(code).stdout.strip() == "numpy"
    assert "SCRATCHNET_BACKEND: backend='torch' is unknown" in python(code, SCRATCHNET_BACKEND="torch").stderr


def test_importing_scratchnet_imports_no_peer_and_no_plotting():
    heavy = "cupy sklearn scipy torch matplotlib jinja2 typer dask tqdm safetensors"
    code = f"import scratchnet, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert python(code).stdout.strip() == "[]"


# -- three ways to have no GPU ----------------------------------------------------------------------------------------


class FakeCudaError(RuntimeError):
    pass


def fake_cupy(driver: int = 12090, devices: int | Exception = 1, answers: bool = True) -> types.ModuleType:
    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    def zeros(n: int) -> np.ndarray:
        if not answers:
            raise FakeCudaError("cudaErrorDevicesUnavailable")
        return np.zeros(n)

    module = types.ModuleType("cupy")
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: driver, getDeviceCount=count, CUDARuntimeError=FakeCudaError
    )
    module.__dict__.update(__version__="0.fake", cuda=types.SimpleNamespace(runtime=runtime), zeros=zeros)
    return module


@pytest.fixture
def no_backend_loaded(monkeypatch):
    monkeypatch.setattr(backend, "_loaded", {"numpy": np})
    monkeypatch.setattr(backend, "_process_wide", "numpy")


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, r"CuPy is not installed.*pip install 'scratchnet\[gpu-cuda12\]'"),
        (fake_cupy(driver=0), r"no NVIDIA driver was found\. Install the driver"),
        (fake_cupy(devices=0), r"no GPU answers: it lists none\. Check nvidia-smi"),
        (fake_cupy(devices=FakeCudaError("cudaErrorNoDevice")), r"no GPU answers: FakeCudaError: cudaErrorNoDevice"),
        (fake_cupy(answers=False), r"no GPU answers: FakeCudaError: cudaErrorDevicesUnavailable"),
    ],
    ids=["not installed", "no driver", "no device", "error", "silent device"],
)
@pytest.mark.usefixtures("no_backend_loaded")
def test_what_is_missing_is_named_and_auto_falls_back(monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, "cupy", module)  # None makes `import cupy` fail
    with pytest.raises(BackendError, match=message):
        sn.use("cupy")
    sn.use("auto")
    assert sn.current_backend() == "numpy"


@pytest.mark.usefixtures("no_backend_loaded")
def test_a_gpu_that_answers_is_taken(monkeypatch):
    cupy = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    sn.use("auto")
    assert sn.current_backend() == "cupy"
    assert backend.backend_module() is cupy


# -- random numbers ---------------------------------------------------------------------------------------------------


def test_host_stream_is_the_same_on_every_backend_and_for_every_use_of_the_device(seed):
    a, b = Rng(seed, np), Rng(seed, strict)
    a.fill_normal(np.empty(7, "float32"))
    np.testing.assert_array_equal(a.host.random(5), b.host.random(5))


def test_noise_is_standard_normal_and_repeatable(xp, dtype, seed):
    x = Rng(seed).fill_normal(xp.empty((200, 300), dtype=dtype))
    assert x.dtype == dtype
    n = x.size
    assert abs(float(x.mean())) < 4.5 / n**0.5
    assert abs(float(x.var()) - 1) < 4.5 * (2 / n) ** 0.5
    np.testing.assert_array_equal(to_numpy(x), to_numpy(Rng(seed).fill_normal(xp.empty((200, 300), dtype=dtype))))


def test_nothing_is_set_up_on_the_device_before_noise_is_wanted():
    class Module:
        class random:
            default_rng = staticmethod(lambda seed: made.append(seed))

    made = []
    rng = Rng(0, Module)
    rng.spawn()
    rng.host.random(3)
    assert made == []
    assert rng.device is rng.device
    assert len(made) == 1


def test_seeds():
    def draw(seed):
        return Rng(seed, np).host.integers(2**62)

    assert draw(0) != draw(1)
    assert draw(None) != draw(None)
    assert draw(np.int64(5)) == draw(5)
    assert draw(np.random.default_rng(3)) == draw(np.random.default_rng(3))
    assert draw(np.random.RandomState(3)) == draw(np.random.RandomState(3))
    generator = np.random.default_rng(3)
    assert draw(generator) != draw(generator)
    for bad in (-1, 1.5, "a"):
        with pytest.raises(ValueError, match=r"random_state=.* is no seed"):
            draw(bad)
