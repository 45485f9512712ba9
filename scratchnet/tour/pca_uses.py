"""Chapter PCA, continued: why components are eigenvectors, and how they help a classifier with few samples."""

from __future__ import annotations

import numpy as np

from scratchnet import plots
from scratchnet.backend import Rng, asarray, to_numpy
from scratchnet.decomposition import PCA
from scratchnet.tour.data import TourData
from scratchnet.tour.report import LeftOut, Number, Picture, Section, Table

__all__ = ["lagrange", "regularising"]


def lagrange(data: TourData, pca: PCA, seed: int) -> Section:
    """The variance along all directions of a plane and its stationary points; then the same equation on the data."""
    X = Rng(seed).host.standard_normal((300, 2)) @ np.array([[2.0, 0.9], [0.0, 0.7]])
    plane, S = PCA().fit(asarray(X)), np.cov(X.T)
    components = to_numpy(plane.components_)
    angle = np.linspace(0, np.pi, 181)
    a = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    variance = ((a @ S) * a).sum(axis=1)
    tangent = np.linalg.norm(a @ S - variance[:, None] * a, axis=1)  # the part of the gradient that rotates a
    first = float(np.arctan2(*components[0][::-1]) % np.pi)

    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.0))
    plots.scatter(X, ax=axes[0, 0], title="points and components")
    with plots.style():
        for component, sd in zip(components, np.sqrt(np.diag(components @ S @ components.T)), strict=True):
            axes[0, 0].plot(*np.stack([np.zeros(2), 2 * sd * component]).T, color=plots.PALETTE[2], linewidth=2.5)
    degrees = np.degrees(angle)
    lines = {"variance aᵀSa": variance, "|Sa − (aᵀSa) a|": tangent}
    plots.curves(degrees, lines, xlabel="direction of a (degrees)", ylabel="", ax=axes[0, 1])
    with plots.style():
        axes[0, 1].axvline(np.degrees(first), color=plots.GREY, linewidth=1, linestyle="--")
        axes[0, 1].set(xticks=[0, 45, 90, 135, 180], ylim=(0, 1.35 * variance.max()))  # room for the legend

    # on the data: S a = l a, without forming S
    A, values = (to_numpy(v).astype(np.float64) for v in (pca.components_, pca.explained_variance_))
    k = min(10, len(A))
    rows = to_numpy(data.X).astype(np.float64)
    rows -= rows.mean(axis=0)
    off = np.linalg.norm((rows @ A[:k].T).T @ rows / (len(rows) - 1) - values[:k, None] * A[:k], axis=1)
    others = Rng(seed).host.standard_normal((200, rows.shape[1]))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    along = ((rows @ others.T) ** 2).sum(axis=0) / (len(rows) - 1)
    return Section(
        "lagrange",
        says="""<p>PCA looks for the direction <i>a</i> of length 1 along which the data have the largest variance. A
            Lagrange multiplier <i>λ</i> fixes the length: where the gradient of the Lagrangian is zero, <i>a</i> is an
            eigenvector of the covariance <i>S</i>, and the variance along it is the eigenvalue. The first component
            has the largest eigenvalue; each next component is the best direction orthogonal to those before it.</p>
            <p class="formula">L(<i>a</i>, <i>λ</i>) = <i>a</i>ᵀ<i>Sa</i> − <i>λ</i>(<i>a</i>ᵀ<i>a</i> − 1), &nbsp;
            ∂L/∂<i>a</i> = 2(<i>Sa</i> − <i>λa</i>) = 0 &nbsp;⇒&nbsp; <i>Sa</i> = <i>λa</i>, &nbsp;
            <i>a</i>ᵀ<i>Sa</i> = <i>λ</i></p>""",
        pictures=[
            Picture(
                fig,
                "Left: an elongated cloud of points with its two principal directions. Right: the variance along every "
                "direction of the plane, and the length of the part of the gradient that rotates the direction; "
                "this part is zero where the variance is largest and where it is smallest.",
                "Dashed: the first component found by PCA.",
            )
        ],
        numbers={
            "angle": Number("first component of the plane, by PCA", float(np.degrees(first)), "degrees", ".1f"),
            "widest": Number(
                "direction of largest variance, among whole degrees", float(degrees[variance.argmax()]),
                "degrees", ".0f",
            ),
            "off": Number(
                f"largest |Sa − λa| / λ₁ of the first {k} components, {data.name}",
                float(off.max() / (values[0] or 1.0)), "", ".1e",
            ),
            "first": Number(f"variance along the first component, {data.name}", float(values[0])),
            "tried": Number("random directions tried", len(others)),
            "best": Number("largest variance along one of them", float(along.max())),
        },
        sees="In the plane, the variance is largest at {widest} among whole degrees; PCA finds {angle}. On the "
        f"{data.name} the equation holds to within {{off}} of the first eigenvalue. Among {{tried}} random directions "
        "the largest variance is {best}; the first component has {first}.",
        code=data.code(
            "import numpy as np\nfrom scratchnet.decomposition import PCA",
            "pca, S = PCA().fit(X), np.cov(X.T)",
            "a, variance = pca.components_[0], pca.explained_variance_[0]",
            "print(np.abs(S @ a - variance * a).max())",
        ),
    )  # fmt: skip


def regularising(data: TourData) -> Section | LeftOut:
    """A linear classifier, fitted by least squares to few labelled samples, on different numbers of components."""
    if data.y is None:
        return LeftOut("regularising", "its classifier needs labels")
    if data.n_features < 2:
        return LeftOut("regularising", "there are no columns to leave out")
    n = min(400, len(data.X) // 2)
    pca = PCA().fit(data.X[:n])
    Z, Z_test = (to_numpy(pca.transform(rows)).astype(np.float64) for rows in (data.X[:n], data.X_test))
    y, y_test, targets = data.y[:n], data.y_test, np.eye(data.n_classes)[data.y[:n]]
    all_widths = (2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 350, n - 1)
    widths = [k for k in all_widths if k <= min(Z.shape[1], n - 1)]
    fits: dict[str, list[float]] = {"samples it was fitted to": [], "held-out samples": []}
    for k in widths:
        W = np.linalg.lstsq(_with_ones(Z[:, :k]), targets, rcond=None)[0]
        for name, (z, truth) in zip(fits, ((Z, y), (Z_test, y_test)), strict=True):
            fits[name].append(float(np.mean((_with_ones(z[:, :k]) @ W).argmax(axis=1) == truth)))
    known, held_out = fits.values()
    best, last = int(np.argmax(held_out)), len(widths) - 1
    return Section(
        "regularising",
        says=f"""<p>After PCA, a classifier gets only the directions with a large variance, and cannot overfit its few
            samples with the others. Here it is a linear classifier, fitted by least squares to {n} labelled samples.
            With about as many components as samples it fits all of them exactly.</p>
            <p class="formula">min<sub><i>W</i>, <i>b</i></sub> Σ<sub>i</sub> |<i>z</i><sub>i</sub><i>W</i> +
            <i>b</i> − <i>t</i><sub>i</sub>|², &nbsp; <i>z</i> = the first <i>k</i> scores</p>""",
        pictures=[
            Picture(
                plots.curves(widths, fits, xlabel="components kept", ylabel="accuracy", log_x=True),
                "Accuracy of a linear classifier against the number of principal components, on the samples it was "
                "fitted to and on held-out ones.",
            )
        ],
        numbers={
            "samples": Number("labelled samples", n),
            "best": Number("components with the best held-out accuracy", widths[best]),
            "best_known": Number("accuracy there, on the samples it was fitted to", known[best]),
            "best_held": Number("accuracy there, held out", held_out[best]),
            "last": Number("largest number of components", widths[last]),
            "last_known": Number("accuracy with these, on the samples it was fitted to", known[last]),
            "last_held": Number("accuracy with these, held out", held_out[last]),
        },
        tables=[
            Table(
                ["components", "accuracy, fitted samples", "accuracy, held out"],
                {
                    "best number": ["best_known", "best_held"],
                    "largest number": ["last_known", "last_held"],
                },
            )
        ],
        sees=(
            "With {last} components the accuracy is {last_known} on the {samples} samples of the fit, and {last_held} "
            "on held-out samples; with {best} components it is {best_known} on the former and {best_held} on the "
            "latter. With less information, the classifier generalises better."
            if held_out[best] > held_out[last] + 1 / len(y_test) ** 0.5  # about two standard errors
            else "Leaving out components makes no clear difference here: the held-out accuracy is {last_held} with "
            "{last} components and {best_held} with {best}."
        ),
        code=data.code(
            "import numpy as np\nfrom scratchnet.decomposition import PCA",
            f"pca = PCA({widths[best]}).fit(X[:{n}])",
            f"targets = np.eye({data.n_classes})[y[:{n}]]",
            f"W = np.linalg.lstsq(pca.transform(X[:{n}]), targets - targets.mean(axis=0))[0]",
            "named = (pca.transform(X_test) @ W + targets.mean(axis=0)).argmax(axis=1)",
            "print(np.mean(named == y_test))",
            test=True,
        ),
    )


def _with_ones(Z: np.ndarray) -> np.ndarray:
    return np.column_stack([Z, np.ones(len(Z))])
