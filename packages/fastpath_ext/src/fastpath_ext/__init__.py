"""Compiled parts of thriftgate, or the reason why there are none.

``COMPILED`` says whether they are there; if not, ``reason`` says why, and the gateway uses its
pure-Python path. ``ABI`` is the version of what the gateway may expect of them.
``THRIFTGATE_PURE=1`` in the environment leaves them alone (empty and ``0`` are as if unset).
"""

import os

ABI: int = 2
COMPILED: bool = False
reason: str = ""

if os.environ.get("THRIFTGATE_PURE", "0") not in ("", "0"):
    reason = "THRIFTGATE_PURE is set"
else:
    try:
        from fastpath_ext._extension import Handle as Handle
        from fastpath_ext._extension import Store as Store
    except Exception as error:  # noqa: BLE001  whatever it is, the pure path works
        reason = f"{type(error).__name__}: {error}"
    else:
        COMPILED = True
