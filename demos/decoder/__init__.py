"""An app that has its pictures decoded by a worker with few rights, and outlives it."""
