"""What makes turns: the queues, the poll, wake-ups and signals, and the turn itself.
Knows nothing of what hangs on the loop.
"""
