"""Autoencoders: estimators on hand-written networks. ``loss`` and ``gradient`` of each stand one under the other."""

from scratchnet.autoencoders import latent
from scratchnet.autoencoders.autoencoder import Autoencoder
from scratchnet.autoencoders.conditional import ConditionalVAE
from scratchnet.autoencoders.contractive import ContractiveAutoencoder
from scratchnet.autoencoders.denoising import DenoisingAutoencoder
from scratchnet.autoencoders.history import EpochState, History
from scratchnet.autoencoders.sparse import KSparseAutoencoder, SparseAutoencoder
from scratchnet.autoencoders.training import DivergedError
from scratchnet.autoencoders.variational import VAE

__all__ = [
    "VAE",
    "Autoencoder",
    "ConditionalVAE",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "DivergedError",
    "EpochState",
    "History",
    "KSparseAutoencoder",
    "SparseAutoencoder",
    "latent",
]
