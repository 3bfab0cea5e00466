"""Encoder and decoder networks."""

from spae.networks.autoencoder import Autoencoder
from spae.networks.build import build_autoencoder, count_parameters
from spae.networks.inflate import inflate

__all__ = ["Autoencoder", "build_autoencoder", "count_parameters", "inflate"]
