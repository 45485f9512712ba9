"""CUDA kernels without a GPU: compiled by nvcc where there is one; run on the CPU, by themselves and in models.

test_twins.py compares each with its formula. What this shows: the arithmetic, the launches, the indexing at odd sizes,
who waits for whom. What it does not: speed, a GPU's own rounding, and anything that only real parallelism brings out.
"""

from __future__ import annotations

import platform
import shutil
import subprocess

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.backend import asarray, backend_module, raw_kernel, runs_kernels, to_numpy
from scratchnet.cluster import KMeans
from scratchnet.kernels import cuda as kernels
from scratchnet.kernels.cuda import tsne
from scratchnet.manifold import TSNE
from scratchnet.manifold.perplexity import SearchLimits, calibrate
from scratchnet.manifold.sne import StudentSimilarity, kl_divergence, kl_forces, kl_gradient
from scratchnet.manifold.tsne_on_gpu import PackedObjective
from scratchnet.nn import bce_with_logits_grad, bce_with_logits_rows
from scratchnet.nn.activations import relu_grad
from scratchnet.testing import no_host_sync, strict
from scratchnet.testing.emulator import every_variant, translation_unit


def test_only_device_arrays_go_to_kernels(device):
    assert runs_kernels(device.zeros(1))
    assert not runs_kernels(np.zeros(1))


def test_the_double_runs_formulas_otherwise():
    assert not runs_kernels(strict.zeros(1))


# -- t-SNE -------------------------------------------------------------------------------------------------------------


def problem(n, k, seed=0):
    """An embedding and a symmetric P that sums to one, float64."""
    rng = np.random.default_rng(seed)
    P = rng.random((n, n)) ** 3
    np.fill_diagonal(P, 0)
    return 3 * rng.standard_normal((n, k)), (P + P.T) / (2 * P.sum())


def packed(P, dof, dtype):
    P = asarray(P, dtype)
    return PackedObjective(lambda rows, columns: P[rows, columns], len(P), dof, dtype, backend_module())


@pytest.mark.parametrize(
    ("n", "k", "dof"),
    [(2, 1, 1.0), (3, 2, 1.0), (127, 3, 0.5), (128, 2, 1.0), (129, 1, 2.0), (129, 2, 1.0), (129, 3, 1.0)]
    + [(300, 1, 1.0), (300, 2, 1.0), (300, 2, 0.5), (300, 3, 2.0)],
)
def test_tsne_equals_the_dense_formulas(device, n, k, dof, dtype):
    """One tile, several, and padded ones; all entries, in units of the largest."""
    Y, P = problem(n, k)
    student, fast, there = StudentSimilarity(dof), packed(P, dof, dtype), asarray(Y, dtype)
    tolerance = {"float32": 1e-6, "float64": 1e-13}[dtype]
    with no_host_sync():
        found = [*fast.forces(there), fast.gradient(there, 12.0)]
        kl = fast.kl(there)
    expected = [*kl_forces(Y, P, student), kl_gradient(Y, P, student, exaggeration=12.0)]
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(to_numpy(a), b, atol=tolerance * np.abs(b).max())
    assert float(kl) == pytest.approx(float(kl_divergence(Y, P, student)), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e5])
def test_tsne_extremes(device, size, dtype):
    """All at one place, so near that squares underflow, far apart."""
    Y, P = problem(130, 2)
    objective, student = packed(P, 1.0, dtype), StudentSimilarity()
    gradient, exact = to_numpy(objective.gradient(asarray(Y * size, dtype))), kl_gradient(Y * size, P, student)
    np.testing.assert_allclose(gradient, exact, atol=1e-5 * np.abs(exact).max())
    exact = float(kl_divergence(Y * size, P, student))
    assert float(objective.kl(asarray(Y * size, dtype))) == pytest.approx(exact, rel=1e-5)


def test_tsne_takes_half_of_p_and_asks_for_it_once(device):
    _, P = problem(1300, 2)  # two strips
    asked, P = np.zeros((1300, 1300), int), asarray(P)

    def joint(rows, columns):
        asked[rows, columns] += 1
        return P[rows, columns]

    objective = PackedObjective(joint, 1300, 1.0, "float64", device)
    assert asked.max() == 1
    assert (asked + asked.T > 0).all()
    assert objective._P.size == 11 * 12 // 2 * tsne.TILE**2
    assert objective._P.nbytes <= PackedObjective.memory(1300, 2, 8)
    assert float(objective._P.sum()) < 1 < 2 * float(objective._P.sum())  # the diagonal's tiles hold both halves


@pytest.mark.parametrize("dof", [1.0, 0.5])
def test_affinities_that_do_not_fit_are_computed_anew_for_the_same_bits(on_cpu, dof):
    Y, P = problem(1300, 2)  # two strips
    P, there = asarray(P, "float32"), asarray(Y, "float32")
    kept, anew = (
        PackedObjective(lambda rows, columns: P[rows, columns], 1300, dof, "float32", strict, keep)
        for keep in (True, False)
    )
    assert anew._P is None
    for _ in range(2):  # nothing is used up
        for a, b in zip(kept.forces(there), anew.forces(there), strict=True):
            np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
        assert float(kept.kl(there)) == float(anew.kl(there))


def test_an_embedding_whose_affinities_do_not_fit(on_cpu, monkeypatch):
    X = np.random.default_rng(0).standard_normal((150, 10)).astype("float32")
    model = TSNE(perplexity=20, max_iter=20, init="random", random_state=0)
    Y = to_numpy(model.fit_transform(X))
    needed = PackedObjective.memory(150, 2, 4)
    monkeypatch.setattr("scratchnet.memory.available_memory", lambda xp: needed - 1)
    monkeypatch.setattr("scratchnet.manifold.embedding.check_memory", lambda *args: None)  # n is too small to tell
    with pytest.warns(UserWarning, match=r"n_samples=150 take 0.0 GiB, more than .* recomputed in every iteration"):
        again = to_numpy(model.fit_transform(X))
    np.testing.assert_array_equal(Y, again)


def test_packing_keeps_every_entry_and_reads_it_in_order():
    """Each stretch of 128 numbers, one reading of a warp, touches 32 rows, one a lane, and all columns."""
    P = np.arange(128 * 256).reshape(128, 256)
    tiles = tsne.pack(P)
    assert tiles.shape == (2, 128 * 128)
    np.testing.assert_array_equal(np.sort(tiles[1]), np.sort(P[:, 128:].ravel()))
    for stretch in tiles.reshape(-1, 32, 4)[::17]:  # lane, its four numbers
        row, column = stretch // 256, stretch % 256
        np.testing.assert_array_equal(row, np.broadcast_to(row[:, :1], row.shape))
        assert len(set(row[:, 0])) == 32
        assert len(set(column.ravel())) == 128


@pytest.mark.parametrize("k", [2, 4])
def test_an_embedding_by_kernels_is_the_plain_one(device, k):
    """Thirty iterations, affinities included; above three dimensions the formulas of tiles take over."""
    X = np.random.default_rng(0).standard_normal((150, 10))
    model = TSNE(k, perplexity=20, max_iter=30, init="random", random_state=0)
    ours = model.fit(X)
    with sn.using("numpy"):
        plain = TSNE(k, perplexity=20, max_iter=30, init="random", random_state=0).fit(X)
    np.testing.assert_allclose(to_numpy(ours.beta_), plain.beta_, rtol=1e-9)
    np.testing.assert_allclose(to_numpy(ours.embedding_), plain.embedding_, rtol=1e-6, atol=1e-12)
    assert ours.kl_divergence_ == pytest.approx(plain.kl_divergence_, rel=1e-9)


@pytest.mark.parametrize(("n", "perplexity"), [(2, 1.0), (3, 1.5), (40, 30.0), (333, 30.0)])
def test_perplexity_search(device, n, perplexity, dtype):
    """Odd widths, duplicates, a far outlier, and a row whose neighbours are all equally near."""
    rng = np.random.default_rng(n)
    d = rng.random((4, n)) ** 2
    d[1, : n // 2], d[2, 0], d[3] = d[1, 0], 1e6, 1.0
    expected = calibrate(d, perplexity, n - 1, dtype, SearchLimits())
    found = calibrate(asarray(d), perplexity, n - 1, dtype, SearchLimits())
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == "float64"
        np.testing.assert_allclose(to_numpy(a), b, rtol={"float32": 1e-4, "float64": 1e-9}[dtype], atol=1e-6)


# -- k-means -----------------------------------------------------------------------------------------------------------


def test_kmeans_by_kernels_is_the_plain_one(device):
    X = np.random.default_rng(0).standard_normal((200, 5)) + 100  # far from 0
    weight = np.random.default_rng(1).random(200)
    ours = KMeans(6, random_state=0).fit(X, sample_weight=weight)
    with sn.using("numpy"):
        plain = KMeans(6, random_state=0).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(to_numpy(ours.labels_), plain.labels_)
    np.testing.assert_allclose(to_numpy(ours.cluster_centers_), plain.cluster_centers_, rtol=1e-12)
    assert ours.n_iter_ == plain.n_iter_


# -- what the library makes of them -----------------------------------------------------------------------------------


def test_nan_and_infinity_survive(device):
    """Training notices a NaN only if it arrives; logits of 1000 must not give one."""
    x, ones = asarray(np.array([[np.nan, -np.inf, np.inf, -1000.0, 1000.0]])), device.ones((1, 5))
    np.testing.assert_array_equal(to_numpy(relu_grad(x, ones)), to_numpy(x))
    np.testing.assert_array_equal(to_numpy(relu_grad(ones, x)), [[0, 0, 1, 0, 1]])
    assert np.isnan(to_numpy(bce_with_logits_rows(x, device.zeros((1, 5))))).all()
    extreme = asarray(np.array([[-1000.0, 1000.0]]))
    np.testing.assert_array_equal(to_numpy(bce_with_logits_rows(extreme, asarray(np.array([[0.0, 1.0]])))), [0])
    np.testing.assert_array_equal(to_numpy(bce_with_logits_rows(extreme, asarray(np.array([[1.0, 0.0]])))), [2000])


def test_bce_gradient_in_place_and_into_strided_memory(device, rng):
    logits, target = rng.standard_normal((5, 7)), rng.random((5, 7))
    expected = bce_with_logits_grad(logits, target)
    there = asarray(logits.copy())
    assert bce_with_logits_grad(there, asarray(target), out=there) is there
    np.testing.assert_allclose(to_numpy(there), expected, atol=1e-15)
    wide = device.zeros((5, 14))
    bce_with_logits_grad(asarray(logits), asarray(target), out=wide[:, ::2])
    np.testing.assert_allclose(to_numpy(wide[:, ::2]), expected, atol=1e-15)
    assert not to_numpy(wide[:, 1::2]).any()
    strided = bce_with_logits_grad(asarray(logits)[::2], asarray(target)[::2])
    np.testing.assert_allclose(to_numpy(strided), expected[::2] * 5 / 3, atol=1e-15)


# -- compilers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_nvcc_compiles_all_without_a_warning(architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc, the CUDA compiler, was not found")
    source = tmp_path / "kernels.cu"
    source.write_text(translation_unit([v for v in every_variant() if "-DK=2" in v[2] or "-DK=" not in str(v[2])]))
    options = ["-cubin", "-arch", architecture, "-std=c++17", "-Werror", "all-warnings", "-Xptxas", "-warn-spills"]
    done = subprocess.run([nvcc, *options, source, "-o", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr


def test_every_kernel_is_compiled():
    names = {name for _, name, _ in every_variant()}
    assert names >= {"adam", "sigmoid_bce", "gaussian_sample", "gaussian_sample_grad", "relu_grad"}
    assert names >= {"tsne_tiles", "tsne_points", "tsne_cost", "perplexity", "kmeans_assign"}


# -- the emulator must refuse what would be undefined on a GPU ---------------------------------------------------------


WRONG = r"""
extern "C" __global__ void behind(float* a) { a[threadIdx.x] = 1; }
extern "C" __global__ void before(float* a) { a[-1] = 1; }
extern "C" __global__ void wants_int(float* a, int n) { a[0] = n; }
extern "C" __global__ void some_wait(float* a) { if (threadIdx.x < 7) __syncthreads(); a[0] = 0; }
extern "C" __global__ void some_shuffle(float* a) { if (threadIdx.x) a[0] = __shfl_xor_sync(0xffffffffu, a[0], 1); }
extern "C" __global__ void read_behind(float* a) { if (threadIdx.x == 0) a[0] = a[5]; }
extern "C" __global__ void thousandth(float* a) { a[threadIdx.x] *= 1e-3f; }
extern "C" __global__ void two(float* a, float* b) { a[0] = b[0]; }
extern "C" __global__ void mirror(double* a) {
    __shared__ double s[64];
    s[threadIdx.x] = a[threadIdx.x];
    __syncthreads();
    a[threadIdx.x] = s[63 - threadIdx.x];
}
extern "C" __global__ void mirror_without_waiting(double* a) {
    __shared__ double s[64];
    s[threadIdx.x] = a[threadIdx.x];
    a[threadIdx.x] = s[63 - threadIdx.x];
}
"""


def launch(name, *args, threads=32):
    raw_kernel(strict, WRONG, name, ())((1,), (threads,), args)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("behind", (), "wrote outside"),
        ("before", (), "wrote outside"),
        ("wants_int", (np.int64(3),), "takes parameters"),
        ("wants_int", (3,), "takes parameters"),
        ("wants_int", (), "takes parameters"),
        ("some_wait", (), "wait for others"),
        ("some_shuffle", (), "wait for others"),
    ],
)
def test_what_would_be_undefined_is_refused(on_cpu, name, args, message):
    with pytest.raises((RuntimeError, TypeError), match=message):
        launch(name, strict.zeros(5, dtype="float32"), *args)


def test_reading_outside_gives_nan(on_cpu):
    a = strict.zeros(5, dtype="float32")
    launch("read_behind", a)
    assert np.isnan(float(a[0]))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="only there can the processor be told to")
def test_tiny_results_are_flushed_to_zero(on_cpu):
    """As on a GPU, where CuPy compiles with -ftz=true."""
    a = strict.full(32, 1e-36, dtype="float32")
    launch("thousandth", a)
    assert not to_numpy(a).any()
    assert (np.full(32, 1e-36, "float32") * np.float32(1e-3)).all()  # only in kernels


def test_strided_and_overlapping_arrays_are_refused(on_cpu):
    a = strict.zeros(8, dtype="float32")
    with pytest.raises(ValueError, match="strides"):
        launch("behind", a[::2])
    with pytest.raises(ValueError, match="overlap"):
        launch("two", a[:4], a[2:])


def test_a_missing_barrier_shows_when_threads_run_in_another_order(on_cpu):
    for name, waits in (("mirror", True), ("mirror_without_waiting", False)):
        numbers = np.random.default_rng().random(64)  # new ones: shared memory still holds those of the last launch
        a = strict.asarray(numbers.copy())
        launch(name, a, threads=64)
        assert np.array_equal(to_numpy(a), numbers[::-1]) == waits


def test_macros_and_dtype_choose_the_variant():
    assert kernels._REAL == {"float32": "float", "float64": "double"}
    assert len(every_variant()) == len(set(every_variant()))
