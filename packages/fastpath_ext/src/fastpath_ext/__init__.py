"""Compiled parts of thriftgate, or the reason why there are none.

``COMPILED`` says whether they are there; if not, ``reason`` says why, and the gateway uses its
pure-Python path. ``ABI`` is the version of what the gateway may expect of them.
``THRIFTGATE_PURE=1`` in the environment leaves them alone (empty and ``0`` are as if unset).
"""

import os
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def put_handles(namespace: "dict[str, Any]", owner: "Any") -> "Handle":
    """Put a handle in the place of each hot function in *namespace*, and of the string door.

    Hot are those that consist of one call of a core in *owner.HOT*: a function's code names the
    module of the owner, the core and the method. The handles are kept in *owner.handles* by
    operation; the one of ``execute_operation``, which finds operations in *owner.routes*, is
    returned. A namespace that is filled again keeps what others have imported from it.
    """
    made = {}
    for name, function in namespace.items():
        if type(function) is FunctionType:
            names = function.__code__.co_names
            if len(names) == 3 and names[1] in owner.HOT:  # noqa: PLR2004
                path = f"{names[1]}.{names[2]}"
                made[name] = owner.handles.get(path) or Handle(function, owner)
                owner.handles[path] = made[name]
    door = owner.door or Handle(namespace["execute_operation"], owner, owner.routes)
    namespace.update(made, execute_operation=door)
    return door
