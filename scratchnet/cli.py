"""The command ``scratchnet``. Imports are inside the commands, so that ``--help`` is fast."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from scratchnet.options import OptionError, check_out, check_out_folder, named_as, read_data, use_backend, write_out

__all__ = ["app", "main"]

app = typer.Typer(
    name="scratchnet",
    help="Autoencoders, clustering and embeddings from scratch, on NumPy or CuPy.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Backend = Annotated[
    str | None,
    typer.Option(
        help="numpy, cupy, or auto (CuPy if there is a GPU that works). Default: SCRATCHNET_BACKEND, else numpy."
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Your own .npy, .npz or .csv file. Default: the digits that come with the package.")
]
Label = Annotated[
    str | None,
    typer.Option(help="The column or array of --data with the labels. Default: the one called y, label or target."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers; the same seed gives the same result.")]


def main() -> None:
    """Run the command; errors that the user can fix are one line on standard error instead of a traceback."""
    from scratchnet.backend import BackendError

    try:
        app()
    except (BackendError, ArithmeticError, MemoryError, OSError, TypeError, ValueError) as error:
        if os.environ.get("SCRATCHNET_TRACEBACK"):
            raise
        print(f"scratchnet: {error}\n(SCRATCHNET_TRACEBACK=1 shows where)", file=sys.stderr)
        sys.exit(2 if isinstance(error, OptionError) else 1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        import scratchnet

        print(scratchnet.__version__)
        raise typer.Exit


# ---------------------------------------------------------------------------------------------------------------------
# Tour, gradient check, versions
# ---------------------------------------------------------------------------------------------------------------------


@app.command()
def tour(
    out: Annotated[Path, typer.Option(help="Folder for the report and results.json.")] = Path("tour"),
    chapter: Annotated[list[str] | None, typer.Option(help="Only this chapter; repeat the option for several.")] = None,
    data: Data = None,
    label: Label = None,
    backend: Backend = None,
    seed: Seed = 0,
) -> None:
    """Run the lectures' experiments, chapter by chapter, and write one HTML report of pictures and numbers."""
    from scratchnet.tour import CHAPTERS, run_tour
    from scratchnet.tour.data import LEAST_ROWS
    from scratchnet.validation import check_choice

    use_backend(backend)
    check_out_folder(out)
    for name in chapter or ():
        with named_as(chapter="--chapter"):
            check_choice(name, "chapter", CHAPTERS)
    own = None if data is None and label is None else read_data(data, label, at_least=LEAST_ROWS)
    run_tour(out, chapters=chapter, seed=seed, data=own)


@app.command()
def check(
    only: Annotated[str | None, typer.Option(help="Only cases whose name contains this.")] = None,
    per_entry: Annotated[
        bool, typer.Option(help="Check every entry of every array, which shows where in a matrix the error is.")
    ] = False,
    backend: Backend = None,
) -> None:
    """Check every hand-written gradient against finite differences of its loss; exit with 1 if one is wrong."""
    from scratchnet.gradient_cases import cases
    from scratchnet.nn.gradcheck import TOLERANCE

    use_backend(backend)
    chosen = [case for case in cases() if only is None or only.lower() in case.name.lower()]
    if not chosen:
        raise OptionError(f"--only {only!r} matches none of {[case.name for case in cases()]}")
    wrong, worst, n_rows = [], 0.0, 0
    width = max(len(case.name) for case in chosen) + 2
    print(f"{'what':<{width}}{'with respect to':<16}{'numeric':>14}  {'backward':>14}  {'error':>8}")
    for case in chosen:
        report = case.check(per_entry=per_entry)
        for name, numeric, analytic, error in report.rows:
            bad = not error < TOLERANCE
            print(f"{case.name:<{width}}{name:<16}{numeric:>14.7g}  {analytic:>14.7g}  {error:>8.1e}{'  WRONG' * bad}")
            wrong += [f"{case.name}: {name}"] * bad
        for name in report.kinks:
            print(f"{case.name:<{width}}{name:<16}could not be checked: the loss has a kink there  WRONG")
            wrong.append(f"{case.name}: {name}")
        worst, n_rows = max(worst, report.max_error), n_rows + len(report.rows)
    if wrong:
        print(f"\n{len(wrong)} of {n_rows} gradients are wrong:", *wrong, sep="\n  ")
        raise typer.Exit(1)
    print(
        f"\nall {n_rows} gradients agree with their losses; largest relative error {worst:.1e} (allowed {TOLERANCE:g})"
    )


@app.command()
def info(backend: Backend = None) -> None:
    """Print versions, backend, BLAS, threads and GPU, for a bug report."""
    import platform
    from importlib.metadata import version

    import numpy as np
    from threadpoolctl import threadpool_info

    import scratchnet
    from scratchnet.backend import BackendError, backend_module, current_backend

    use_backend(backend)
    lines = {
        "scratchnet": scratchnet.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "numpy": np.__version__,
        "matplotlib": version("matplotlib"),
        "backend": current_backend(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    }
    for pool in threadpool_info():
        name = f"{pool['internal_api']} {pool.get('version') or ''}".strip()
        lines["BLAS" if pool["user_api"] == "blas" else pool["user_api"]] = f"{name}, {pool['num_threads']} threads"
    try:
        cupy = backend_module("cupy")
        device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        free, total = cupy.cuda.runtime.memGetInfo()
        lines["cupy"] = cupy.__version__
        lines["GPU"] = f"{device['name'].decode()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        lines["CUDA"] = f"driver {_dotted(cupy.cuda.runtime.driverGetVersion())}, runtime " + _dotted(
            cupy.cuda.runtime.runtimeGetVersion()
        )
    except BackendError as error:
        lines["GPU"] = f"none: {error}"
    for name, value in lines.items():
        print(f"{name:<12}{value}")


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


# ---------------------------------------------------------------------------------------------------------------------
# Working on data
# ---------------------------------------------------------------------------------------------------------------------


@app.command()
def train(
    model: Annotated[str, typer.Option(help="autoencoder, vae, or conditional (needs labels in the data).")] = "vae",
    out: Annotated[Path, typer.Option(help="File for the trained model.")] = Path("model.safetensors"),
    data: Data = None,
    label: Label = None,
    hidden: Annotated[
        str, typer.Option(help="Widths of the layers between input and code, separated by commas.")
    ] = "400",
    latent: Annotated[int, typer.Option(min=1, help="Width of the code.")] = 20,
    likelihood: Annotated[str, typer.Option(help="bernoulli (data in [0, 1]) or gaussian.")] = "bernoulli",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 20,
    validation: Annotated[float, typer.Option(help="Share of the rows held out for validation.")] = 0.1,
    backend: Backend = None,
    seed: Seed = 0,
) -> None:
    """Train an autoencoder, print its history, save it as a safetensors file."""
    import warnings

    from scratchnet.autoencoders import VAE, Autoencoder, ConditionalVAE
    from scratchnet.validation import check_choice

    use_backend(backend)
    models = {"autoencoder": Autoencoder, "vae": VAE, "conditional": ConditionalVAE}
    with named_as(model="--model"):
        chosen = models[check_choice(model, "model", models)]
    widths = [width.strip() for width in hidden.split(",")] if hidden else []
    if not all(width.isdecimal() for width in widths):
        raise OptionError(f"--hidden {hidden!r} must be widths separated by commas, such as 400 or 500,300")
    check_out(out)
    X, y = read_data(data, label)
    if y is None and model == "conditional":
        raise OptionError(f"--model conditional needs labels, and {data} has none: --label names their column")
    estimator = chosen(
        hidden=tuple(int(width) for width in widths),
        n_latent=latent,
        likelihood=likelihood,
        epochs=epochs,
        validation_fraction=validation,
        random_state=seed,
        verbose=1,
    )
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", UserWarning)
        with named_as(
            hidden="--hidden", n_latent="--latent", likelihood="--likelihood", validation_fraction="--validation"
        ):
            estimator.fit(X, y)
    print(estimator.history_)
    for warning in raised:
        print(f"scratchnet: {warning.message}", file=sys.stderr)
    print(f"saved to {estimator.save(out)}; load it with {type(estimator).__name__}.load({str(out)!r})")


@app.command()
def embed(
    method: Annotated[str, typer.Option(help="tsne or pca.")] = "tsne",
    out: Annotated[Path, typer.Option(help="Picture (.png, .svg, .pdf) or coordinates (.csv, .npy).")] = Path(
        "embedding.png"
    ),
    data: Data = None,
    label: Label = None,
    rows: Annotated[int, typer.Option(min=2, help="Number of rows to use, from the beginning of the data.")] = 2000,
    perplexity: Annotated[float, typer.Option(help="Effective number of neighbours of a point, for t-SNE.")] = 30.0,
    backend: Backend = None,
    seed: Seed = 0,
) -> None:
    """Embed data in two dimensions: write a scatter plot, or the coordinates."""
    from scratchnet.decomposition import PCA
    from scratchnet.manifold import TSNE
    from scratchnet.validation import check_choice

    use_backend(backend)
    with named_as(method="--method"):
        tsne = check_choice(method, "method", ("tsne", "pca")) == "tsne"
    check_out(out, ".png", ".svg", ".pdf", ".csv", ".npy")
    X, y = read_data(data, label, at_least=2)
    if len(X) > rows:
        print(f"using the first {rows} of {len(X)} rows; --rows sets their number")
    X, y = X[:rows], None if y is None else y[:rows]
    if not tsne and X.shape[1] < 2:
        raise OptionError(f"--method pca needs two columns or more, and {data} has one")
    estimator = TSNE(perplexity=perplexity, random_state=seed, verbose=1) if tsne else PCA(n_components=2)
    with named_as(perplexity="--perplexity"):
        Y = estimator.fit_transform(X)
    write_out(out, Y, y)


@app.command()
def cluster(
    clusters: Annotated[int, typer.Option(min=1, help="Number of clusters.")] = 10,
    out: Annotated[Path, typer.Option(help="File for the cluster labels, one per row (.csv or .npy).")] = Path(
        "labels.csv"
    ),
    data: Data = None,
    label: Label = None,
    starts: Annotated[int, typer.Option(min=1, help="Number of independent starts, of which the best is kept.")] = 10,
    backend: Backend = None,
    seed: Seed = 0,
) -> None:
    """Cluster the rows with k-means; if the data has labels, compare them with the clusters.

    Columns are not rescaled: bring columns of different units to one scale first.
    """
    from scratchnet.cluster import KMeans
    from scratchnet.metrics import clustering_accuracy, normalized_mutual_info

    use_backend(backend)
    check_out(out, ".csv", ".npy")
    X, y = read_data(data, label)
    with named_as(n_clusters="--clusters"):
        kmeans = KMeans(clusters, n_init=starts, random_state=seed).fit(X)
    print(f"{len(X)} rows in {clusters} clusters, inertia {kmeans.inertia_:.6g}, {kmeans.n_iter_} rounds")
    if y is not None:
        nmi, accuracy = normalized_mutual_info(y, kmeans.labels_), clustering_accuracy(y, kmeans.labels_)
        print(f"against the labels in the data: NMI {nmi:.3f}, accuracy {accuracy:.3f}")
    write_out(out, kmeans.labels_[:, None], None)
