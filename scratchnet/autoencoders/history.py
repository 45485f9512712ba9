"""What training reports: one state and one row of numbers an epoch, each with its unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

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
    """The model after an epoch of ``steps``: ``metrics`` is the row that ``history_`` gains."""

    epoch: int
    epochs: int
    metrics: dict[str, Any]
    model: Any

    @property
    def loss(self) -> float:
        return self.metrics["loss"]

    def __str__(self) -> str:
        names = [name for name in ("loss", "kl", "validation_loss") if name in self.metrics]
        return ", ".join(f"{name} {self.metrics[name]:.4g}" for name in names) + f" {UNITS['loss']}"


class History(Sequence[dict[str, Any]]):
    """A row of numbers an epoch: ``history[-1]["loss"]``, or as a column ``history["loss"]``; ``print`` for a table.

    ``units[name]`` is the unit of a column. All losses are sums over features and means over samples, so the weight of
    the KL term beside the reconstruction, ``effective_beta``, is what it says.
    """

    units = UNITS

    def __init__(self, rows: Sequence[dict[str, Any]] = ()) -> None:
        self.rows = list(rows)

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
        names = [name for name in self.rows[0] if name != "kl_per_latent"]
        table = [names, [self.units[name] for name in names]]
        table += [[f"{row[n]:.5g}" if isinstance(row[n], float) else str(row[n]) for n in names] for row in self.rows]
        widths = [max(len(line[i]) for line in table) for i in range(len(names))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table]
        if "kl_per_latent" in self.rows[-1]:
            kl = sorted(self.rows[-1]["kl_per_latent"], reverse=True)
            lines.append("KL per latent, largest first [nats]: " + " ".join(f"{v:.2f}" for v in kl))
        return "\n".join(lines)

    __repr__ = __str__
