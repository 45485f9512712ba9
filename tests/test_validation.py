"""Validation of user input: every message names the argument, what came in and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from scratchnet.backend import to_numpy
from scratchnet.validation import check_array, check_bool, check_choice, check_integer, check_number


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[1.0, np.nan]], ValueError, r"X contains NaN: 1 entries .* at \(0, 1\)"),
        ([[1.0], [np.inf]], ValueError, r"X contains inf.* \(infinity\) at \(1, 0\)"),
        ([[np.inf], [-np.inf]], ValueError, r"X contains inf: 2 entries"),
        ([1.0, 2.0], ValueError, r"X must be 2-D, got 1-D with shape \(2,\)\. Reshape your data"),
        (np.zeros((2, 2, 2)), ValueError, r"X must be 2-D, got 3-D"),
        (np.zeros((0, 3)), ValueError, r"0 sample\(s\).*minimum of 1 is required"),
        (np.zeros((3, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\)"),
        ([["a", "b"]], ValueError, r"X has dtype <U1 and holds something that is not a number.*encode it first"),
        (np.array([[{}]]), TypeError, r"X has dtype object .*argument must be a .*string.* number"),
        (np.zeros((1, 1), complex), ValueError, r"Complex data not supported: X has dtype complex128"),
        (np.zeros((1, 1), "datetime64[D]"), TypeError, r"X has dtype datetime64\[D\], which is not numeric"),
    ],
)
def test_bad_arrays(X, error, message):
    with pytest.raises(error, match=message):
        check_array(X)


def test_sparse_is_refused_with_the_way_out():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"X is a sparse csr_array.*X\.toarray\(\)"):
        check_array(sparse.csr_array(np.eye(2)))


@pytest.mark.parametrize(
    ("given", "kept"),
    [("float32", "float32"), ("float64", "float64"), ("int64", "float32"), ("uint8", "float32"), ("bool", "float32")],
)
def test_dtypes(xp, given, kept):
    X = check_array(xp.zeros((2, 2), dtype=given), xp=xp)
    assert X.dtype == kept
    assert check_array(X, xp=xp, dtype="float64").dtype == "float64"


def test_numbers_in_text_and_objects_are_read():
    np.testing.assert_array_equal(check_array([["1", "2.5"]]), [[1, 2.5]])
    np.testing.assert_array_equal(check_array(np.array([[1, 2.5]], dtype=object)), [[1, 2.5]])


def test_a_float32_sum_that_overflows_is_not_taken_for_infinity():
    check_array(np.full((4, 4), 3e38, dtype="float32"))


def test_input_is_not_copied_without_need_and_never_written(xp):
    X = np.arange(6.0).reshape(3, 2)
    X.flags.writeable = False
    assert check_array(X, xp=np) is X
    np.testing.assert_array_equal(to_numpy(check_array(X, xp=xp)), X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_integer(0, "k"), ValueError, "k=0 must be at least 1"),
        (lambda: check_integer(9, "k", maximum=5), ValueError, "k=9 must be between 1 and 5"),
        (lambda: check_integer(2.0, "k"), TypeError, r"k=2\.0 must be an integer, got float"),
        (lambda: check_integer(True, "k"), TypeError, "k=True must be an integer"),
        (lambda: check_number("x", "tol"), TypeError, "tol='x' must be a number, got str"),
        (lambda: check_number(-1, "tol", minimum=0), ValueError, "tol=-1 must be at least 0"),
        (lambda: check_number(0, "lr", minimum=0, open_minimum=True), ValueError, "lr=0 must be above 0"),
        (lambda: check_number(3, "f", minimum=0, maximum=1), ValueError, "f=3 must be at least 0 and at most 1"),
        (lambda: check_number(np.nan, "f"), ValueError, "f=nan must be finite"),
        (lambda: check_bool(1, "whiten"), TypeError, "whiten=1 must be True or False, got int"),
        (lambda: check_choice("x", "init", ["a", "b"]), ValueError, r"init='x' is unknown; choose one of \['a', 'b'\]"),
    ],
)
def test_bad_parameters(call, error, message):
    with pytest.raises(error, match=message):
        call()
