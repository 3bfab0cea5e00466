"""An example plug-in: a task, a tokenizer and a language model, each found by its entry point in pyproject.toml."""
