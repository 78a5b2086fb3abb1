"""Owns the tools that talk to running services: the commands `ipcc call`, `fake`, `list` and `shell`.
Must not know anything else: `ipcc` finds each command by its entry point in pyproject.toml.
"""
