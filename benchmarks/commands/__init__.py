"""The commands of `python -m benchmarks`: thin, and heavy imports only inside functions."""
