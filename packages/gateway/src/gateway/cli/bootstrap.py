"""Start a runtime client as the managed runtime does; run as a script, never imported by us.

Lambda starts its Python runtime with a short script of its own, not with ``-m awslambdaric``: that
would load ``runpy`` and ``importlib.util``, which a function on AWS does not find loaded, and make
a measured INIT dearer than it is. This script does what is known of that one (task root first on
the path, ``.pth`` files of the task root executed, PYTHONPATH set for child processes) and then
calls the very function that ``-m`` would call, which runs ``awslambdaric.bootstrap.run``.
``/opt/python`` is left out: nothing here unpacks layers, and a folder of that name on the host is
not one.

It is copied beside the client into a folder that stands for /var/runtime, and imports nothing that
the client would not: no ``__future__`` here.
"""

import importlib
import os
import site
import sys


def main(client: str) -> None:
    """Set the path up and serve invocations with the entry point of the module *client*."""
    task_root = os.environ["LAMBDA_TASK_ROOT"]
    sys.path.insert(0, task_root)
    site.addsitedir(task_root)
    os.environ.setdefault("PYTHONPATH", os.environ["LAMBDA_RUNTIME_DIR"])
    importlib.import_module(client).main(["bootstrap", os.environ["_HANDLER"]])


if __name__ == "__main__":  # pragma: no cover - a script in a process without coverage
    main(sys.argv[1])
