"""Benchmarks: run from the checkout, each by one command."""
