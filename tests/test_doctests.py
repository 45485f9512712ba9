"""The examples in docstrings run, and print what they show; each estimator has one.

Docstrings are read from the sources of the installed package, because doctest's own search silently ignores
functions behind some decorators.
"""

from __future__ import annotations

import ast
import doctest
import inspect
import warnings
from importlib import import_module
from pkgutil import walk_packages

import numpy as np
import pytest

import scratchnet
from scratchnet.base import Estimator

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = ["scratchnet", *sorted(info.name for info in walk_packages(scratchnet.__path__, "scratchnet."))]


def examples(module):
    """The doctests in a module's strings that have a prompt, docstrings and those under a constant alike."""
    parser, namespace = doctest.DocTestParser(), {"np": np, **vars(module)}

    def find(node, name):
        for child in ast.iter_child_nodes(node):
            within = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            yield from find(child, f"{name}.{child.name}" if within else name)
            text = child.value.value if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) else None
            if isinstance(text, str) and ">>> " in text:
                yield parser.get_doctest(text, namespace, name, module.__file__, child.lineno - 1)

    return list(find(ast.parse(inspect.getsource(module)), module.__name__))


EXAMPLES = [example for name in MODULES for example in examples(import_module(name))]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_example_prints_what_it_shows(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    with warnings.catch_warnings(), scratchnet.using("numpy"):
        warnings.simplefilter("error")
        result = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=report.append, clear_globs=False)
    assert result.failed == 0, "".join(report)
    assert result.attempted == len(example.examples)  # none is skipped by a directive
    assert list(tmp_path.iterdir()) == []


def test_no_example_is_overlooked():
    """Every prompt that a source has at the start of a line belongs to an example that runs."""
    for name in MODULES:
        module = import_module(name)
        prompts = sum(line.lstrip().startswith(">>> ") for line in inspect.getsource(module).splitlines())
        assert sum(len(example.examples) for example in EXAMPLES if example.filename == module.__file__) == prompts


def test_the_runner_sees_a_wrong_result():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(optionflags=FLAGS).run(wrong, out=lambda text: None).failed == 1


def concrete(cls):
    """The estimators among the subclasses of ``cls``; all modules are imported by now."""
    found = [] if inspect.isabstract(cls) or not cls.__module__.startswith("scratchnet.") else [cls]
    return found + [kind for child in cls.__subclasses__() for kind in concrete(child)]


def test_each_estimator_has_an_example():
    """In the docstring of the class or of one of its own methods."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in concrete(Estimator) if kind is not Estimator}
    have = {name for name in names for example in EXAMPLES if f"{example.name}.".startswith(f"{name}.")}
    assert len(names) > 10
    missing = sorted(names - have)
    assert not missing, "estimators without an example:\n  " + "\n  ".join(missing)
