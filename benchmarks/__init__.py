"""The command line, the plan and the runner: the one room that sees all others."""
