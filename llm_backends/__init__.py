"""Language models behind one small protocol, and the response cache that wraps any of them."""
