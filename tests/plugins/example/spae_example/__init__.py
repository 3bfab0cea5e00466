"""An example plug-in: one file for each of its parts, found by the entry points in pyproject.toml."""
