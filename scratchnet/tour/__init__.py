"""The tour: the experiments of five lectures, chapter by chapter, in one report.

from scratchnet.tour import run_tour
run_tour("tour")                                  # everything, on the embedded digits
run_tour("tour", chapters=["pca"], data=(X, y))   # one chapter, on your own table
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import scratchnet
from scratchnet.backend import backend_module, current_backend
from scratchnet.tour import autoencoder, clustering, conditional, latent_space, pca, tsne, vae, variants
from scratchnet.tour.data import TourData, embedded_digits, own_table
from scratchnet.tour.report import Chapter, Progress, Report

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["CHAPTERS", "run_tour"]

CHAPTERS: dict[str, Chapter] = {
    module.CHAPTER.name: module.CHAPTER
    for module in (clustering, pca, tsne, autoencoder, variants, latent_space, vae, conditional)
}
"""The chapters by name, in the order of the lectures; ``CHAPTERS[name].run(data, seed, tell)`` yields sections."""


def run_tour(
    out: str | os.PathLike[str],
    *,
    chapters: Sequence[str] | None = None,
    seed: int = 0,
    data: tuple[ArrayLike, ArrayLike | None] | None = None,
) -> Path:
    """Run the lectures' experiments and write ``index.html`` and ``results.json`` into the folder ``out``.

    Both files are rewritten after every section, so that a stopped tour leaves a report, which says what is missing.
    The main numbers of a chapter are printed when it ends.

    Parameters
    ----------
    out : path
        Created if it does not exist. Only the two files named above are written.
    chapters : sequence of str, optional
        Names from ``CHAPTERS``; by default all of them.
    seed : int
        Seed of all random numbers.
    data : (X, y), optional
        Your own table instead of the embedded digits: X (n, d) with at least 100 rows, y (n,) classes or None.

    Returns
    -------
    Path
        The report, ``index.html``.

    Raises
    ------
    ValueError
        If a chapter does not exist, or if ``data`` has too few rows.
    """
    chosen = _choose(chapters)
    tour_data = embedded_digits() if data is None else own_table(data[0], data[1], seed)
    report = Report("scratchnet tour", _about(tour_data, seed), [Progress(chapter) for chapter in chosen])
    folder = Path(out)
    page = report.write(folder)
    # one BLAS thread: models train in parallel, one per core (see training.py), and row blocks run on threads anyway
    with (
        threadpool_limits(1, "blas"),
        tqdm(total=sum(len(chapter.sections) for chapter in chosen), unit="section", disable=None, leave=False) as bar,
    ):
        for progress in report.chapters:
            _run_chapter(report, progress, tour_data, seed, folder, bar)
            numbers = [f"{n.label} {n}{' ' + n.unit if n.unit else ''}" for n in progress.headline()]
            tqdm.write(f"{progress.chapter.name} ({progress.seconds:.1f} s): {'; '.join(numbers)}", file=sys.stdout)
    print(f"report: {page}")
    return page


def _choose(names: Sequence[str] | None) -> list[Chapter]:
    if names is None:
        return list(CHAPTERS.values())
    if unknown := [name for name in names if name not in CHAPTERS]:
        raise ValueError(f"there is no chapter {unknown[0]!r} in the tour; its chapters are {', '.join(CHAPTERS)}")
    if not names:
        raise ValueError(f"chapters is empty; pass None for all of them, or some of {', '.join(CHAPTERS)}")
    return [chapter for name, chapter in CHAPTERS.items() if name in names]


def _run_chapter(report: Report, progress: Progress, data: TourData, seed: int, folder: Path, bar: Any) -> None:
    start = time.perf_counter()
    bar.set_description_str(progress.chapter.title)
    try:
        for part in progress.chapter.run(data, seed, bar.set_postfix_str):
            report.add(progress, part)
            progress.seconds = time.perf_counter() - start
            report.write(folder)
            bar.set_postfix_str("", refresh=False)
            bar.update()
        progress.finished = True
    finally:  # after an error or Ctrl-C the report still has the sections so far
        progress.seconds = time.perf_counter() - start
        report.write(folder)


def _about(data: TourData, seed: int) -> dict[str, str]:
    import matplotlib

    packages = {"scratchnet": scratchnet.__version__, "NumPy": np.__version__, "matplotlib": matplotlib.__version__}
    xp = backend_module()
    if xp is not np:
        packages[xp.__name__] = xp.__version__  # packages are called cupy-cuda12x and so on, none is called cupy
    return {
        **data.about,
        "versions": ", ".join(f"{name} {number}" for name, number in packages.items())
        + f", Python {platform.python_version()}",
        "backend": current_backend(),
        "seed": str(seed),
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
