"""Autoencoders: estimators on hand-written networks. ``loss`` and ``gradient`` of each stand one under the other."""

from scratchnet.autoencoders import latent
from scratchnet.autoencoders.autoencoder import Autoencoder
from scratchnet.autoencoders.base_vae import PosteriorCollapseWarning
from scratchnet.autoencoders.conditional import ConditionalVAE
from scratchnet.autoencoders.consistency import ConsistencyReport, consistency_check
from scratchnet.autoencoders.contractive import ContractiveAutoencoder
from scratchnet.autoencoders.denoising import DenoisingAutoencoder
from scratchnet.autoencoders.history import EpochState, History
from scratchnet.autoencoders.importance import IWAE
from scratchnet.autoencoders.sparse import KSparseAutoencoder, SparseAutoencoder
from scratchnet.autoencoders.training import DivergedError
from scratchnet.autoencoders.variational import VAE

__all__ = [
    "IWAE",
    "VAE",
    "Autoencoder",
    "ConditionalVAE",
    "ConsistencyReport",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "DivergedError",
    "EpochState",
    "History",
    "KSparseAutoencoder",
    "PosteriorCollapseWarning",
    "SparseAutoencoder",
    "consistency_check",
    "latent",
]
