"""Owns an app that lets a worker with few rights decode its pictures, and survives the worker.
Must not know the other demos."""
