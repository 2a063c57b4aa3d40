"""Comparisons with peers: `python3 dev.py bench TABLE` runs one in its own pinned environment."""
