"""What training reports: one state and one row of numbers per epoch, each with its unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

__all__ = ["UNITS", "EpochState", "History"]

UNITS = {
    "epoch": "",
    "loss": "nats/sample",
    "reconstruction": "nats/sample",
    "kl": "nats/sample",
    "penalty": "nats",
    "effective_beta": "",
    "active_units": "latents",
    "binarisation": "",
    "kl_per_latent": "nats",
    "mse": "per feature",
    "validation_loss": "nats/sample",
    "seconds": "s",
}


@dataclass(frozen=True)
class EpochState:
    """The model after an epoch of ``steps``.

    Attributes
    ----------
    epoch, epochs : int
        The number of this epoch, from 1, and of the last one.
    metrics : dict
        The row that ``history_`` gains; its ``seconds`` are those of this epoch.
    model
        The estimator whose ``steps`` were called.
    seconds : float
        Since the first state was asked for.
    """

    epoch: int
    epochs: int
    metrics: dict[str, Any]
    model: Any
    seconds: float

    @property
    def iteration(self) -> int:
        """The epoch."""
        return self.epoch

    @property
    def objective(self) -> float:
        """The loss."""
        return self.metrics["loss"]

    @property
    def loss(self) -> float:
        """In nats per sample, on (up to 2000 of) the training samples."""
        return self.metrics["loss"]

    def __str__(self) -> str:
        names = [name for name in ("loss", "kl", "validation_loss") if name in self.metrics]
        return ", ".join(f"{name} {self.metrics[name]:.4g}" for name in names) + f" {UNITS['loss']}"


class History(Sequence[dict[str, Any]]):
    """One row of numbers per epoch: ``history[-1]["loss"]``, or as a column ``history["loss"]``; ``print`` for a table.

    ``units[name]`` is the unit of a column: of a term of the loss nats per sample, of an unknown number none. All
    losses are sums over features and means over samples, so the weight of the KL term beside the reconstruction,
    ``effective_beta``, is what it says.

    Parameters
    ----------
    rows : sequence of dict
    terms : iterable of str
        Names of the terms of the loss.

    Examples
    --------
    >>> print(History([{"epoch": 1, "loss": 2.5, "mmd": 0.125}], terms=["mmd"]))
    epoch         loss          mmd
           nats/sample  nats/sample
        1          2.5        0.125
    """

    def __init__(self, rows: Sequence[dict[str, Any]] = (), terms: Sequence[str] = ()) -> None:
        self.rows = list(rows)
        self.units: dict[str, str] = defaultdict(str, dict.fromkeys(terms, UNITS["loss"]) | UNITS)

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        if not isinstance(key, str):
            return self.rows[key]
        if self.rows and key not in self.rows[0]:
            raise KeyError(f"history has no column {key!r}; it has {list(self.rows[0])}")
        return [row[key] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __str__(self) -> str:
        if not self.rows:
            return "(no epochs)"
        names = [name for name in self.rows[0] if not isinstance(self.rows[0][name], list)]
        table = [names, [self.units[name] for name in names]]
        table += [[f"{row[n]:.5g}" if isinstance(row[n], float) else str(row[n]) for n in names] for row in self.rows]
        widths = [max(len(line[i]) for line in table) for i in range(len(names))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table]
        if "kl_per_latent" in self.rows[-1]:
            kl = sorted(self.rows[-1]["kl_per_latent"], reverse=True)
            lines.append("KL per latent, largest first [nats]: " + " ".join(f"{v:.2f}" for v in kl))
        return "\n".join(lines)

    __repr__ = __str__
