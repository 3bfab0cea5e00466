"""Loss terms, each a function of tensors."""
