"""Quantizers: from a latent grid to tokens and back, behind one interface."""

from spae.quantizers.protocol import Quantized
from spae.quantizers.saq import StreamingAverageQuantizer
from spae.quantizers.vq import VectorQuantizer

__all__ = ["Quantized", "StreamingAverageQuantizer", "VectorQuantizer"]
