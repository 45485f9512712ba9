"""What the models' string arguments stand for; kept in :mod:`scratchnet.nn`."""

from scratchnet.nn import ACTIVATIONS, OPTIMIZERS

__all__ = ["ACTIVATIONS", "OPTIMIZERS"]
