"""The tasks: what is sampled, what the language model is asked, and how its reply is scored."""
