"""Owns programs that show the packages at work; they run from the checkout and are not installed.
Must not know anything inside the packages, only their public names."""
