"""Owns the benchmarks, each of which one command runs from the checkout.
Must not know anything inside the packages, only their public names."""
