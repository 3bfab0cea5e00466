"""SPAE: images as pyramids of words from a frozen language model's vocabulary (arXiv 2306.17842)."""

__version__ = "0.1.0"
