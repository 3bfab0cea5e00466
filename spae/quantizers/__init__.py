"""Quantizers: from a latent grid to tokens and back, behind one interface."""

from spae.quantizers.learning import Gradient, MovingAverage, random_codebook
from spae.quantizers.projected_saq import ProjectedSAQ
from spae.quantizers.protocol import Quantized
from spae.quantizers.quantizer import Quantizer
from spae.quantizers.rq import ResidualQuantizer
from spae.quantizers.saq import StreamingAverageQuantizer
from spae.quantizers.vq import VectorQuantizer

__all__ = [
    "Gradient",
    "MovingAverage",
    "ProjectedSAQ",
    "Quantized",
    "Quantizer",
    "ResidualQuantizer",
    "StreamingAverageQuantizer",
    "VectorQuantizer",
    "random_codebook",
]
