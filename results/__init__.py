"""Records, their statistics, and the report."""
