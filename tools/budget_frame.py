"""What `dev.py budget` counts: a process up to the point where Lambda's INIT ends.

It is run as bytecode, `python -S budget_frame.pyc TASK RUNTIME MODULE [EVENT...]`, so that nothing
is compiled: the first compile() of a process costs a twelfth of a bare start and would hide one of
ours. EVENT is a JSON file to be handled before the end. Not `-m awslambdaric`, which loads modules
that the managed runtime does not.
"""

import importlib
import json
import os
import sys

task, runtime, module, *events = sys.argv[1:]
sys.path[:0] = [task, runtime]

import site  # noqa: E402, F401 - loaded in every Lambda environment, and -S left it out

# Untyped. Its imports are what a handler finds loaded.
import awslambdaric.bootstrap  # type: ignore[import-untyped]  # noqa: E402, F401
from awslambdaric.lambda_context import (  # type: ignore[import-untyped]  # noqa: E402
    LambdaContext,
)

handler = importlib.import_module(module).lambda_handler
for event in events:
    deadline = 4_000_000_000_000  # epoch milliseconds, far in the future
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:budget"
    with open(event) as file:  # noqa: PTH123 - pathlib is not loaded in the runtime either
        handler(json.load(file), LambdaContext("request-1", None, None, deadline, arn))
os._exit(0)  # the end of INIT, or of the first invocation: leaving would be counted as well
