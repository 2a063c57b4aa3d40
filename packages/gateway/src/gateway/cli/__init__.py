"""The ``thriftgate`` command and what it runs on; never shipped in a zip."""
