"""The command, as a user runs it: a process of its own, its output read."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.backend import BackendError, resolve_backend

RUN = "from scratchnet.cli import main; main()"


def scratchnet(*args: object, code: str = RUN, cwd=None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "120", **env},
    )


def test_version_and_help():
    assert scratchnet("--version").stdout.strip() == sn.__version__
    text = scratchnet("--help").stdout
    for command in ("tour", "check", "info", "train", "embed", "cluster"):
        assert re.search(rf"\b{command}\b", text)


def test_the_installed_command_is_this_one():
    from importlib.metadata import entry_points

    (command,) = (e for e in entry_points(group="console_scripts") if e.name == "scratchnet")
    assert command.value == "scratchnet.cli:main"


def test_check_passes():
    result = scratchnet("check")
    assert result.returncode == 0, result.stdout
    assert "ReLU()" in result.stdout
    assert "VAE, bernoulli" in result.stdout
    worst = re.search(r"all \d+ gradients agree with their losses; largest relative error (\S+)", result.stdout)
    assert float(worst[1]) < 1e-7


@pytest.mark.parametrize(
    ("module", "before", "after", "culprit"),
    [
        ("layers.Tanh.backward", "xp.subtract(1, dx, out=dx)", "xp.add(1, dx, out=dx)", "Tanh(): x"),
        ("layers.Dense.backward", "dy.sum(axis=0, out=self.db)", "self.db[...] = -dy.sum(axis=0)", "Dense(5, 4): b"),
        ("gaussian.reparameterize_grad", "dmu += dz", "dmu -= dz", "GaussianSample: h"),
        ("gaussian.reparameterize_grad", "dlogvar -= 0.5 * beta / B", "dlogvar += 0.5 * beta / B", "GaussianSample: h"),
    ],
)
def test_one_flipped_sign_exits_1_and_names_the_culprit(module, before, after, culprit):
    """The function is compiled anew from its own source with one sign flipped, then the command runs."""
    name, _, function = module.partition(".")
    owner, _, function = f"module.{function}".rpartition(".")
    code = f"""
import inspect, textwrap
import scratchnet.nn.{name} as module
source = textwrap.dedent(inspect.getsource({owner}.{function}))
assert {before!r} in source
scope = vars(module)
exec(source.replace({before!r}, {after!r}), scope)
{owner}.{function} = scope["{function}"]
{RUN}
"""
    result = scratchnet("check", code=code)
    assert result.returncode == 1
    assert "gradients are wrong:" in result.stdout
    assert culprit in result.stdout.partition("gradients are wrong:")[2]
    assert "WRONG" in result.stdout


def test_check_only_and_per_entry():
    result = scratchnet("check", "--only", "dense", "--per-entry")
    assert "W[4, 3]" in result.stdout
    assert "ReLU" not in result.stdout
    assert "matches none of" in scratchnet("check", "--only", "nothing").stderr


def test_info_says_what_a_bug_report_needs():
    text = scratchnet("info").stdout
    for line in (
        f"scratchnet  {sn.__version__}",
        f"numpy       {np.__version__}",
        "backend     numpy",
        "BLAS",
        "threads",
        "GPU",
    ):
        assert line in text


def test_what_the_user_can_mend_is_one_line_and_no_traceback(tmp_path):
    result = scratchnet("cluster", "--data", tmp_path / "nothing.csv")
    assert result.returncode == 1
    assert result.stderr.startswith("scratchnet: there is no file")
    assert "Traceback" not in result.stderr
    assert "Traceback" in scratchnet("cluster", "--data", tmp_path / "nothing.csv", SCRATCHNET_TRACEBACK="1").stderr


@pytest.mark.parametrize("command", ["check", "info", "cluster"])
def test_a_backend_that_cannot_work_is_explained(command):
    result = scratchnet(command, "--backend", "torch")
    assert result.returncode == 1
    assert "backend='torch' is unknown; choose one of ['auto', 'cupy', 'numpy']" in result.stderr


@pytest.mark.parametrize("command", ["tour", "embed", "check"])
def test_no_gpu_is_one_clear_line(command, tmp_path):
    try:
        resolve_backend("cupy")
    except BackendError as error:
        missing = str(error)
    else:
        pytest.skip("there is a GPU here")
    result = scratchnet(command, "--backend", "cupy", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"scratchnet: {missing[:40]}")
    assert "or use the backend 'numpy'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


# -- on the user's own data -------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """A .csv with a text label: two blobs in the unit square's corners, 60 rows."""
    rng = np.random.default_rng(0)
    y = np.repeat(["red", "blue"], 30)
    X = np.clip(np.where(y[:, None] == "red", 0.2, 0.8) + 0.05 * rng.standard_normal((60, 4)), 0, 1)
    lines = ["a,b,c,d,label", *(",".join([*map(str, row), label]) for row, label in zip(X, y, strict=True))]
    path = tmp_path / "points.csv"
    path.write_text("\n".join(lines))
    return path


def test_label_needs_data():
    result = scratchnet("cluster", "--label", "kind")
    assert result.returncode == 1
    assert "--label 'kind' names a column of your own file, but there is no --data" in result.stderr


def test_cluster(table, tmp_path):
    result = scratchnet("cluster", "--clusters", 2, "--data", table, "--out", "labels.csv", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "60 rows in 2 clusters" in result.stdout
    assert "NMI 1.000, accuracy 1.000" in result.stdout
    labels = np.loadtxt(tmp_path / "labels.csv")
    assert len(set(labels[:30])) == len(set(labels[30:])) == 1 != len(set(labels))


@pytest.mark.parametrize("command", ["cluster", "embed"])
def test_a_label_by_any_name(table, tmp_path, command):
    table.write_text(table.read_text().replace("label", "colour"))
    args = (command, "--data", table, "--out", "out.csv", *(("--method", "pca") if command == "embed" else ()))
    refused = scratchnet(*args, cwd=tmp_path)
    assert refused.returncode == 1
    assert re.search(r"column 5 \('colour'\): 'red' is not a number.*--label", refused.stderr), refused.stderr
    result = scratchnet(*args, "--label", "colour", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert command == "embed" or "against the labels in the data" in result.stdout
    refused = scratchnet(*args, "--label", "color", cwd=tmp_path)
    assert re.search(r"no column or array of that name; it has 'a', 'b', 'c', 'd', 'colour'", refused.stderr)


def test_embed_says_when_it_leaves_rows_out(table, tmp_path):
    result = scratchnet("embed", "--method", "pca", "--rows", 50, "--data", table, "--out", tmp_path / "e.npy")
    assert "the first 50 of 60 rows; --rows takes more" in result.stdout
    assert np.load(tmp_path / "e.npy").shape == (50, 2)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embed(table, tmp_path, method):
    result = scratchnet("embed", "--method", method, "--perplexity", 5, "--data", table, "--out", tmp_path / "e.csv")
    assert result.returncode == 0, result.stderr
    Y = np.loadtxt(tmp_path / "e.csv", delimiter=",")
    assert Y.shape == (60, 2)
    assert np.linalg.norm(Y[:30].mean(axis=0) - Y[30:].mean(axis=0)) > 2 * Y[:30].std()
    picture = scratchnet("embed", "--method", method, "--perplexity", 5, "--data", table, "--out", tmp_path / "e.png")
    assert picture.returncode == 0, picture.stderr
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("model", ["autoencoder", "vae", "conditional"])
def test_train(table, tmp_path, model):
    out = tmp_path / "m.safetensors"
    args = ("--model", model, "--data", table, "--hidden", "8,4", "--latent", 2, "--epochs", 2, "--out", out)
    result = scratchnet("train", *args)
    assert result.returncode == 0, result.stderr
    assert "validation_loss" in result.stdout
    name = {"autoencoder": "Autoencoder", "vae": "VAE", "conditional": "ConditionalVAE"}[model]
    assert f"load it with {name}.load(" in result.stdout
    import scratchnet.autoencoders as zoo

    assert getattr(zoo, name).load(out).hidden == (8, 4)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ("train", "--model", "gan"),
            r"--model='gan' is unknown; choose one of \['autoencoder', 'vae', 'conditional'\]",
        ),
        (("embed", "--method", "umap"), r"--method='umap' is unknown"),
        (("cluster", "--out", "labels.xls"), r"--out labels.xls: the ending must be one of .csv, .npy"),
        (("embed", "--out", "nowhere/e.png"), r"--out nowhere/e.png: the folder nowhere does not exist"),
        (("train", "--out", "nowhere/m"), r"--out nowhere/m: the folder nowhere does not exist"),
        (("train", "--hidden", "abc"), r"--hidden 'abc' must be widths with commas between"),
        (("train", "--validation", "0.999"), r"validation_fraction=0.999 of 60 sample\(s\) would hold out 60"),
        (("tour", "--chapter", "gan"), r"gan.*clustering"),
        (("tour", "--label", "kind"), r"label='kind': .* has no column or array of that name"),
    ],
)
def test_bad_options(args, message, table, tmp_path):
    result = scratchnet(*args, "--data", table, cwd=tmp_path)
    assert result.returncode == 1
    assert re.search(message, result.stderr), result.stderr
