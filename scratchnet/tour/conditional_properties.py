"""Chapter conditional VAE, continued: two continuous properties as the condition, the slant and the pen width."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np

from scratchnet import plots
from scratchnet.autoencoders import ConditionalVAE
from scratchnet.backend import Array, Rng, asarray, to_numpy
from scratchnet.tour.data import TourData
from scratchnet.tour.report import Number, Picture, Section
from scratchnet.tour.training import Trainings

__all__ = ["pen_widths", "slants", "train_on_properties", "two_dials"]

HIDDEN, N_LATENT, RATE, EPOCHS = (256, 256), 10, 2e-3, 10
STEPS = 9  # values of a property


def slants(images: np.ndarray) -> np.ndarray:
    """The slant of each image (n, height, width) in degrees, positive to the right: atan(-cov(row, column) / var(row)),
    with moments weighted by grey levels."""
    n, height, width = images.shape
    weight = images.reshape(n, -1).astype(np.float64)
    weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    rows, columns = (axis.ravel().astype(np.float64) for axis in np.mgrid[:height, :width])
    row, column = weight @ rows, weight @ columns
    variance = weight @ rows**2 - row**2
    covariance = weight @ (rows * columns) - row * column
    return np.degrees(np.arctan2(-covariance, np.maximum(variance, 1e-12)))


def pen_widths(images: np.ndarray) -> np.ndarray:
    """The width of the strokes of each image (n, height, width) in pixels: twice the ink over the length of the
    edges, which is the sum of the norms of the image gradient."""
    grey = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    down, right = np.gradient(grey, axis=(1, 2))
    return 2 * grey.sum(axis=(1, 2)) / np.maximum(np.hypot(down, right).sum(axis=(1, 2)), 1e-12)


def _properties(data: TourData, X: Array) -> np.ndarray:
    """Slant and pen width of rows X, (n, 2)."""
    assert data.shape is not None
    images = to_numpy(X).reshape(-1, *data.shape)
    return np.stack([slants(images), pen_widths(images)], axis=1)


def train_on_properties(data: TourData, seed: int, train: Trainings) -> Future[ConditionalVAE] | None:
    """A model conditioned on both properties of every image, in standard deviations from their means."""
    if data.shape is None:
        return None
    known = _properties(data, data.X)
    model = ConditionalVAE(hidden=HIDDEN, n_latent=N_LATENT, learning_rate=RATE, epochs=EPOCHS, random_state=seed)
    return train(model, data.X, ((known - known.mean(axis=0)) / _scale(known)).astype(np.float32))


def _scale(known: np.ndarray) -> np.ndarray:
    return np.maximum(known.std(axis=0), 1e-12)


def two_dials(data: TourData, model: ConditionalVAE, seed: int) -> Section:
    known = _properties(data, data.X)
    mean, scale = known.mean(axis=0), _scale(known)
    Z = Rng(seed).host.standard_normal((100, N_LATENT)).astype(np.float32)
    names, units, dials = ("slant", "pen width"), ("degrees", "pixels"), ("slant", "width")
    numbers: dict[str, Number] = {"codes": Number("random codes", len(Z))}
    shown, pictures = [], []
    fig, axes = plots.figure(1, 2, size=(plots.WIDTH, 3.0))
    for i, dial in enumerate(dials):
        wanted = np.linspace(np.percentile(known[:, i], 3), np.percentile(known[:, i], 97), STEPS)
        asked = np.tile(mean, (STEPS, 1))
        asked[:, i] = wanted
        y = np.tile((asked - mean) / scale, (len(Z), 1)).astype(np.float32)
        images = model.inverse_transform(asarray(np.repeat(Z, STEPS, axis=0)), y)
        found = _properties(data, images).reshape(len(Z), STEPS, 2)
        shown.append(images[: 3 * STEPS])
        got = found[:, :, i].mean(axis=0)
        plots.curves(
            wanted, {"measured": got, "requested": wanted}, xlabel=f"requested {names[i]} ({units[i]})",
            ylabel=f"mean {names[i]} of the images", ax=axes[0, i],
        )  # fmt: skip
        form = ".0f" if i == 0 else ".2f"
        numbers |= {
            f"{dial}_low": Number(f"smallest requested {names[i]}", wanted[0], units[i], form),
            f"{dial}_high": Number(f"largest requested {names[i]}", wanted[-1], units[i], form),
            f"{dial}_got_low": Number(f"mean {names[i]} of the images, smallest request", got[0], units[i], form),
            f"{dial}_got_high": Number(f"mean {names[i]} of the images, largest request", got[-1], units[i], form),
            f"{dial}_correlation": Number(
                f"correlation of requested and measured {names[i]}",
                float(np.corrcoef(np.tile(wanted, len(Z)), found[:, :, i].ravel())[0, 1]),
            ),
        }
    assert data.shape is not None
    rows = [to_numpy(block).reshape(3, STEPS, -1)[j] for block in shown for j in range(3)]
    labels = [name for name in names for _ in range(3)]
    pictures = [
        Picture(
            plots.reconstructions(*rows, labels=labels, shape=data.shape),
            "Six rows of images: in the first three the requested slant goes from left-leaning to right-leaning, in "
            "the last three the requested pen goes from thin to thick.",
            "One code per row; from left to right one of the two properties changes.",
        ),
        Picture(fig, "Measured slant and pen width of generated images against the requested values; diagonals."),
    ]
    return Section(
        "property",
        says="""<p>The condition need not be a class, and there can be several. Here they are the slant of the writing
            and the width of the pen, measured on each training image. The same codes are then decoded with different
            values of one property, the other at its mean, and the images are measured in the same way.</p>
            <p class="formula">slant = atan(−cov(row, column)/var(row)), &nbsp; width = 2 · ink / length of
            edges</p>""",
        pictures=pictures,
        numbers=numbers,
        sees="For requested slants from {slant_low} to {slant_high} degrees, the images have {slant_got_low} to "
        "{slant_got_high} degrees on average; for requested pens from {width_low} to {width_high} pixels, "
        "{width_got_low} to {width_got_high}. Over {codes} codes, the correlation of requested and measured values is "
        "{slant_correlation} for the slant and {width_correlation} for the pen.",
        code=data.code(
            "import numpy as np\nfrom scratchnet.autoencoders import ConditionalVAE\n"
            "from scratchnet.tour.conditional_properties import pen_widths, slants",
            f"images = X.reshape(-1, {data.shape[0]}, {data.shape[1]})",
            "known = np.stack([slants(images), pen_widths(images)], axis=1)",
            f"model = ConditionalVAE(hidden={HIDDEN}, n_latent={N_LATENT}, learning_rate={RATE:g})",
            "model.fit(X, (known - known.mean(axis=0)) / known.std(axis=0))",
            "leaning = model.sample(9, np.stack([np.linspace(-2, 2, 9), np.zeros(9)], axis=1))",
        ),
    )
