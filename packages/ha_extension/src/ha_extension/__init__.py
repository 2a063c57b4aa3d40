"""Alexa to Home Assistant, as an AWS Lambda function: ``ha_extension.lambda_handler``.

The handler is made when it is first asked for, which Lambda does in INIT: the settings are checked
and the connection is opened then. Importing the package for its other modules does none of that.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False

__all__ = ["lambda_handler"]


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from collections.abc import Callable

    lambda_handler: Callable[[object, object], object]
else:  # unseen by a type checker, so that it refuses every other name

    def __getattr__(name: str) -> object:
        if name != "lambda_handler":
            msg = f"module {__name__!r} has no attribute {name!r}: it offers lambda_handler"
            raise AttributeError(msg)
        began = time.perf_counter()
        from ha_extension.client import build_handler

        made = globals()[name] = build_handler(os.environ, began)
        return made
