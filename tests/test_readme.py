"""The README's code runs as printed, and its statements about the package are true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import scratchnet
from scratchnet.backend import Rng, get_xp
from scratchnet.nn import Activation, Dense, Sequential, Tanh, check_gradient, gaussian, optimizers, sigmoid

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", [b for b in BLOCKS if "import" in b], ids=lambda code: code.strip().splitlines()[-1])
def test_code_blocks_run(code, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scratchnet.backend._process_wide", "numpy")
    exec(compile(code, "README.md", "exec"), {})
    losses = [
        float(value) for value in re.findall(r"^\d ([\d.]+) nats per image", capsys.readouterr().out, re.MULTILINE)
    ]
    assert not losses or losses[-1] < losses[0] - 10


def test_the_example_is_twenty_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 20


def test_the_formulas_shown_are_the_formulas_shipped(rng):
    (code,) = (b for b in BLOCKS if "class Tanh" in b)
    scope = {"Activation": Activation, "get_xp": get_xp, "twin": lambda **twins: lambda formula: formula}
    scope |= {"host": optimizers.host, "cuda": optimizers.cuda}
    exec(code, scope)
    dz, eps, sigma, h = *rng.standard_normal((3, 4, 3)), rng.standard_normal((4, 6))
    shown = scope["reparameterize_grad"](dz, h, eps, sigma, 0.7)
    np.testing.assert_array_equal(shown, gaussian.reparameterize_grad.formula(dz, h, eps, sigma, 0.7))
    theta, grad, m, v = rng.random((4, 9))
    for shown, shipped in zip(
        scope["adam"](theta, grad, m, v, 0.9, 0.999, 1e-3, 1e-8),
        optimizers.adam.formula(theta, grad, m, v, 0.9, 0.999, 1e-3, 1e-8),
        strict=True,
    ):
        np.testing.assert_array_equal(shown, shipped)
    shown, shipped, (x, dy) = scope["Tanh"](), Tanh(), rng.standard_normal((2, 4, 3))
    np.testing.assert_array_equal(shown.forward(x), shipped.forward(x))
    np.testing.assert_array_equal(shown.backward(dy), shipped.backward(dy))


def test_every_file_in_the_map_exists():
    package = Path(scratchnet.__file__).parent
    table = README.partition("## A map of the code")[2].partition("```\n")[2].partition("tests/ ")[0]
    names = [name for line in table.splitlines()[1:] for name in re.findall(r"(?<=[ ])[a-z]+(?:/|\.py)(?= |$)", line)]
    assert len(names) > 12
    assert [name for name in names if not (package / name).exists()] == []


def test_the_layer_in_contributing_is_right(rng):
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope = {"Activation": Activation, "Array": object, "sigmoid": sigmoid}
    exec(code, scope)
    net = Sequential(Dense(3, 4), scope["Swish"](), Dense(4, 2))
    params, x = net.build(Rng(0, np), "float64"), rng.standard_normal((5, 3))
    net.backward(np.ones_like(net.forward(x)))
    assert check_gradient(lambda: net.forward(x).sum(), params).ok
    assert net.layers[1].backward(np.ones((5, 4)), need_dx=False) is None
    assert len(code.strip().splitlines()) <= 10


def test_every_file_that_the_readme_links_to_is_there():
    root = Path(__file__).parents[1]
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert "docs/tour.png" in links
    present = [link for link in links if not link.startswith("docs/") or (root / "docs").exists()]
    assert [link for link in present if not (root / link).exists()] == []
