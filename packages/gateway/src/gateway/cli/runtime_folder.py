"""Choose a runtime client and lay out the folder that stands for /var/runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cores.errors import ConfigurationError
from gateway.cli.layout import lay_out

if TYPE_CHECKING:
    from gateway.cli.interpreter import Interpreter

Client = Literal["auto", "awslambdaric", "pure"]

CLIENT_PACKAGES = ("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")


class LocalRuntimeError(ConfigurationError):
    """The function cannot be run as asked; the message says what to change."""


def choose_client(client: Client, interpreter: Interpreter) -> str:
    """Return which client *interpreter* will run: ``"awslambdaric"`` or ``"pure"``."""
    if client not in ("auto", "awslambdaric", "pure"):
        msg = f"client must be 'auto', 'awslambdaric' or 'pure', not {client!r}"
        raise ValueError(msg)
    if client == "pure":
        return client
    found = interpreter.locate(CLIENT_PACKAGES)
    missing = [name for name in CLIENT_PACKAGES if name not in found]
    if not missing:
        return "awslambdaric"
    if client == "auto":
        return "pure"
    msg = (
        f"the runtime client cannot be imported by {interpreter.executable} ({missing[0]} is "
        f"missing); run: {interpreter.executable} -m pip install awslambdaric (Linux only), "
        "or take client='pure'"
    )
    raise LocalRuntimeError(msg)


def default_cache(prefix: str = sys.prefix) -> Path | None:
    """Return a folder inside the virtual environment *prefix*, or None where it is not one."""
    if prefix == sys.base_prefix or not os.access(prefix, os.W_OK):
        return None
    return Path(prefix, ".thriftgate")


def lay_runtime_out(cache: Path, client: str, interpreter: Interpreter) -> Path:
    """Return a folder in *cache* that holds *client*, its dependencies and the bootstrap alone."""
    here = Path(__file__).parent
    files = {"bootstrap.py": here / "bootstrap.py"}
    packages: tuple[str, ...] = CLIENT_PACKAGES
    if client == "pure":
        files["runtime_client.py"] = here / "runtime_client.py"
        packages = ()
    target = cache / "{}-{}.{}.{}".format(client, *interpreter.version)
    layout = lay_out(
        target,
        packages,
        files=files,
        python=interpreter.executable,
        code_root="/var/runtime",
    )
    return layout.root
