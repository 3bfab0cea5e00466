"""Quantizers: from a latent grid to tokens and back, behind one interface."""

from spae.quantizers.learning import Gradient, MovingAverage, random_codebook
from spae.quantizers.projected_saq import DrawingSaq
from spae.quantizers.protocol import Quantized
from spae.quantizers.quantizer import Quantizer
from spae.quantizers.rq import ResidualQuantizer
from spae.quantizers.saq import StreamingAverageQuantizer
from spae.quantizers.vq import VectorQuantizer

__all__ = [
    "DrawingSaq",
    "Gradient",
    "MovingAverage",
    "Quantized",
    "Quantizer",
    "ResidualQuantizer",
    "StreamingAverageQuantizer",
    "VectorQuantizer",
    "random_codebook",
]
