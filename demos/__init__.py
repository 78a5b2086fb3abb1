"""Programs that show the packages at work. Run from the checkout; not installed."""
