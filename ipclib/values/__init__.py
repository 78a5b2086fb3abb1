"""Values to bytes and descriptors, and back. Knows no frame, no socket and no loop."""
