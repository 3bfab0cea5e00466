"""Encoder and decoder networks."""

from spae.networks.autoencoder import Autoencoder, build_autoencoder, count_parameters

__all__ = ["Autoencoder", "build_autoencoder", "count_parameters"]
