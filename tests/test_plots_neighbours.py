"""Figures of neighbour embeddings: what they show, and that an animation is a GIF of the whole descent."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from scratchnet import plots
from scratchnet.backend import asarray, to_numpy
from scratchnet.manifold import SNE, TSNE, SymmetricSNE


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.standard_normal((60, 5)) + 4 * np.repeat(np.eye(5)[:3], 20, axis=0)


LABELS = np.repeat(["ash", "beech", "cedar"], 20)


def test_embeddings_side_by_side(xp, rng):
    panels = {f"perplexity {p}": asarray(rng.normal(size=(30, 2))) for p in (2, 10, 30)}
    figure = plots.embeddings(panels, np.arange(30) % 3)
    figure.canvas.draw()
    *shown, empty = figure.axes
    assert [ax.get_title(loc="left") for ax in shown] == list(panels)
    for ax, Y in zip(shown, panels.values(), strict=True):
        np.testing.assert_allclose(ax.collections[0].get_offsets(), to_numpy(Y))
        assert [t.get_text() for t in ax.texts] == ["0", "1", "2"]
    assert not empty.axison
    with pytest.raises(ValueError, match="panels is empty"):
        plots.embeddings({})


def test_forces_point_where_a_step_goes(xp, X):
    *_, state = TSNE(perplexity=9, max_iter=5, random_state=0).steps(asarray(X))
    figure = plots.forces(state, LABELS, title="forces")
    figure.canvas.draw()
    _, *arrows = figure.axes[0].collections
    for quiver, force in zip(arrows, state.forces(), strict=True):
        np.testing.assert_allclose(np.stack([quiver.U, quiver.V], axis=1), -to_numpy(force), rtol=1e-6)
        assert quiver.scale == arrows[0].scale  # one scale for both
    start = next(TSNE(3, perplexity=9).steps(X))
    with pytest.raises(ValueError, match="3 dimensions"):
        plots.forces(start)


def test_crowding_shares_add_up(xp, X):
    """All attraction is 1 in each panel. Gaussians attract beyond where they repel, Student's t repels that far too."""
    models = {m.__name__: m(perplexity=9, max_iter=200, random_state=0).fit(X) for m in (SNE, SymmetricSNE, TSNE)}
    figure = plots.crowding(models, n_bins=20)
    figure.canvas.draw()
    beyond = {}
    for ax, name in zip(figure.axes, models, strict=True):
        assert ax.get_title(loc="left") == name
        pull, push = (patch.get_data().values for patch in ax.patches)
        assert pull.sum() == pytest.approx(1, rel=1e-3)
        beyond[name] = pull[push.cumsum() > 0.99 * push.sum()].sum()
    assert beyond["TSNE"] < 0.5 * min(beyond["SNE"], beyond["SymmetricSNE"])
    nowhere = TSNE(perplexity=5, max_iter=0).fit(np.ones((10, 2)))
    with pytest.raises(ValueError, match="'a' are in the same place"):
        plots.crowding({"a": nowhere})


def test_animation(xp, X, tmp_path):
    model = TSNE(perplexity=9, max_iter=25, random_state=0)
    path = plots.animation(model.steps(asarray(X)), tmp_path / "a.gif", LABELS, every=10, fps=10, width=2.0)
    assert path == tmp_path / "a.gif"
    assert model.n_iter_ == 25  # it ran to the end
    with Image.open(path) as gif:
        assert gif.format == "GIF"
        assert gif.size == (160, 160)
        assert gif.n_frames == 4  # iterations 0, 10, 20, and 25 with the names of the classes
        pictures, durations = [], []
        for i in range(4):
            gif.seek(i)
            durations.append(gif.info["duration"])
            pictures.append(np.asarray(gif.convert("RGB")))
    assert durations == [100, 100, 100, 2000]
    assert all((a != b).any() for a, b in pairwise(pictures))
    first = {to_hex(c / 255) for c in pictures[0].reshape(-1, 3)}
    assert len(first) > 3  # three colours and paper


def test_animation_without_labels_or_states(tmp_path, X):
    plots.animation(TSNE(perplexity=9, max_iter=1).steps(X), str(tmp_path / "a.gif"), width=1.0)
    with pytest.raises(ValueError, match="states is empty"):
        plots.animation([], tmp_path / "b.gif")
    assert not (tmp_path / "b.gif").exists()
