"""The command as a user runs it: in a process of its own, judged by its output."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.backend import BackendError, resolve_backend
from scratchnet.cli import app, main

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
        ("activations.Tanh.backward", "1 - self.y**2", "1 + self.y**2", "Tanh(): x"),
        ("layers.Dense.backward", "dense_backward(dy", "dense_backward(-dy", "Dense(5, 4): b"),
        ("gaussian.reparameterize_grad", "dmu = dz + beta", "dmu = -dz + beta", "GaussianSample: h"),
        ("gaussian.reparameterize_grad", "sigma**2 - 1", "sigma**2 + 1", "GaussianSample: h"),
    ],
)
def test_one_flipped_sign_exits_1_and_names_the_culprit(module, before, after, culprit):
    """The function is recompiled from its own source with one sign flipped, then the command runs."""
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


def test_an_error_that_the_user_can_fix_is_one_line_and_no_traceback(tmp_path):
    result = scratchnet("cluster", "--data", tmp_path / "nothing.csv")
    assert result.returncode == 2
    assert result.stderr.startswith("scratchnet: --data: there is no file")
    assert "Traceback" not in result.stderr
    assert "Traceback" in scratchnet("cluster", "--data", tmp_path / "nothing.csv", SCRATCHNET_TRACEBACK="1").stderr


@pytest.mark.parametrize("command", ["check", "info", "cluster"])
def test_a_backend_that_cannot_work_is_explained(command):
    result = scratchnet(command, "--backend", "torch")
    assert result.returncode == 2
    assert "--backend='torch' is unknown; choose one of ['auto', 'cupy', 'numpy']" in result.stderr


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
    assert refused.returncode == 2
    assert re.search(r"column 5 \('colour'\): 'red' is not a number.*--label", refused.stderr), refused.stderr
    result = scratchnet(*args, "--label", "colour", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert command == "embed" or "against the labels in the data" in result.stdout
    refused = scratchnet(*args, "--label", "color", cwd=tmp_path)
    assert re.search(r"no column or array of that name; it has 'a', 'b', 'c', 'd', 'colour'", refused.stderr)


def test_embed_says_when_it_leaves_rows_out(table, tmp_path):
    result = scratchnet("embed", "--method", "pca", "--rows", 50, "--data", table, "--out", tmp_path / "e.npy")
    assert "using the first 50 of 60 rows; --rows sets their number" in result.stdout
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


# -- options with invalid values: named in the error, before any work, exit code 2 -------------------------------------

COMMANDS = sorted(command.callback.__name__ for command in app.registered_commands)
BAD_OPTIONS = [  # on points.csv, unless they name other --data; a command with ! has none
    ("train --model gan", r"--model='gan' is unknown; choose one of \['autoencoder', 'vae', 'conditional'\]"),
    ("train --model conditional --data nameless.csv", "--model conditional needs labels, and nameless.csv has none"),
    ("train --hidden abc", r"--hidden 'abc' must be widths separated by commas"),
    ("train --hidden 4,,3", r"--hidden '4,,3' must be widths separated by commas"),
    ("train --hidden 4,0", r"--hidden\[1\]=0 must be at least 1"),
    ("train --latent 0", "'--latent'"),
    ("train --likelihood poisson", r"--likelihood='poisson' is unknown; choose one of"),
    ("train --data wide.csv", r"--likelihood='bernoulli' needs X in \[0, 1\], .* or use --likelihood='gaussian'"),
    ("train --epochs 0", "'--epochs'"),
    ("train --epochs many", "'--epochs'"),
    ("train --validation 1.5", "--validation=1.5 must be below 1"),
    ("train --validation nan", "--validation=nan must be at least 0"),
    ("train --validation 0.999", r"--validation=0.999 of 60 sample\(s\) would hold out 60"),
    ("train --seed -1", "'--seed'"),
    ("train --out nowhere/m", "--out nowhere/m: the folder nowhere does not exist"),
    ("train --out .", r"--out \. is a folder; name a file in it"),
    ("train --data one.npz --label colour", "--label='colour': one.npz has no column or array of that name"),
    ("embed --method umap", "--method='umap' is unknown"),
    ("embed --method pca --data narrow.csv", "--method pca needs two columns or more, and narrow.csv has one"),
    ("embed --data one.npz", "--data: one.npz has 1 row, but at least 2 are needed"),
    ("embed --out e.xls", r"--out e.xls: the ending must be one of \.png, \.svg, \.pdf, \.csv, \.npy"),
    ("embed --out nowhere/e.png", "--out nowhere/e.png: the folder nowhere does not exist"),
    ("embed --rows 1", "'--rows'"),
    ("embed --perplexity 60", "--perplexity=60 must be between 1 and n_samples - 1 = 59"),
    ("embed --perplexity nan", "--perplexity=nan must be finite"),
    ("embed --seed -1", "'--seed'"),
    ("cluster --clusters 0", "'--clusters'"),
    ("cluster --clusters 61", "--clusters=61 is more than n_samples=60"),
    ("cluster --starts 0", "'--starts'"),
    ("cluster --out labels.xls", r"--out labels.xls: the ending must be one of \.csv, \.npy"),
    ("cluster --seed -1", "'--seed'"),
    ("cluster --data .", r"--data: \. is a folder"),
    ("cluster --data nothing.csv", "--data: there is no file nothing.csv"),
    ("cluster --data text.csv", r"--data: text.csv, line 2, column 1 \('a'\): 'x' is not a number"),
    ("tour --chapter gan", r"--chapter='gan' is unknown; choose one of \['clustering'"),
    ("tour --data points.csv", "--data: points.csv has 60 rows, but at least 100 are needed"),
    ("tour --label kind", "--label='kind': points.csv has no column or array of that name"),
    ("tour --out points.csv/report", "--out points.csv/report: .*points.csv is a file; name a folder"),
    ("tour --seed -1", "'--seed'"),
    ("check --only nothing", "--only 'nothing' matches none of"),
    *((f"{command} --backend torch", "--backend='torch' is unknown") for command in COMMANDS),
    *((f"{command}! --label a", "--label 'a' names a column of") for command in ("tour", "train", "embed", "cluster")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD_OPTIONS, ids=[line for line, _ in BAD_OPTIONS])
def test_bad_options(line, message, table, tmp_path, monkeypatch, capsys):
    (tmp_path / "nameless.csv").write_text("0,0\n1,1\n" * 30)
    (tmp_path / "wide.csv").write_text("0,-5\n1,9\n" * 30)
    (tmp_path / "narrow.csv").write_text("a\n1\n2\n")
    (tmp_path / "text.csv").write_text("a,b\nx,1\n")
    np.savez(tmp_path / "one.npz", X=np.eye(1, 3))
    before = sorted(path.name for path in tmp_path.iterdir())
    command, *args = line.split()
    if "--data" not in args and not command.endswith("!") and command not in ("check", "info"):
        args += ["--data", table.name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "argv", ["scratchnet", command.removesuffix("!"), *args])
    with pytest.raises(SystemExit) as left:
        main()
    error = capsys.readouterr().err
    assert left.value.code == 2, error
    assert re.search(message, error), error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_every_option_has_a_bad_value_that_is_tested():
    """Except for the flag, which has none."""
    tested = {(line.split()[0].rstrip("!"), option) for line, _ in BAD_OPTIONS for option in line.split()[1::2]}
    there = {
        (command.callback.__name__, f"--{name.replace('_', '-')}")
        for command in app.registered_commands
        for name in inspect.signature(command.callback).parameters
    }
    shared = {"--data", "--backend", "--seed"}  # declared once for all commands
    assert {(c, o) for c, o in there - tested if o not in shared} == {("check", "--per-entry")}
    assert shared <= {option for _, option in tested}
