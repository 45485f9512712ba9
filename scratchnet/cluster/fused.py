"""Lloyd's algorithm where kernels run: a matrix product and one launch a block of rows are a whole assignment step."""

from __future__ import annotations

import numpy as np

from scratchnet import blocks
from scratchnet.backend import Array
from scratchnet.cluster.geometry import scores, squares
from scratchnet.cluster.lloyd import Lloyd, assign_and_add


class FusedLloyd(Lloyd):
    """:class:`~scratchnet.cluster.lloyd.Lloyd` whose sums come with the labels."""

    def assign(self, centers: Array) -> bool:
        """Give every point to the nearest of ``centers`` (k, d); whether any point moved."""
        g, c = self.geometry, centers.astype(self.X.dtype)
        size, before = squares(c), self.labels
        self.sums, self.counts = self.xp.zeros(c.shape, dtype=np.float64), self.xp.zeros(len(c), dtype=np.float64)

        def block(x: Array, weight: Array) -> Array:
            x = g.local(x)
            return assign_and_add(scores(x, c, size), x, weight, self.sums, self.counts)

        found = blocks.map(block, self.X, self.weight, size=blocks.rows_per_block(self.X, max(c.shape)))
        self.labels = self.xp.concatenate(found)
        return before is None or bool((self.labels != before).any())
