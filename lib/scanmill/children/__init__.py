"""The programs that open foreign files: each runs behind walls, in a process of its own.

They import nothing of Scanmill but its nouns, so that they start at once.
"""
