"""Answer Alexa directives like a small Home Assistant, for local runs and tests.

The package runs on a developer's machine, never on Lambda, and is left out of every zip.

>>> with DemoHome() as home:
...     home.url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

from ha_extension.demo_home.server import DemoHome

__all__ = ["DemoHome"]
