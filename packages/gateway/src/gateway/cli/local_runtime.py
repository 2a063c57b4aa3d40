r"""Run a function locally as Lambda does: one process, the real client, the Runtime API.

::

    with LocalRuntime("build/task", "app.lambda_handler", memory_mb=512) as runtime:
        result = runtime.invoke({"name": "Ada"})
        print(result.json(), result.billed_ms, *result.logs, sep="\n")
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cores.errors import ConfigurationError
from gateway.cli.interpreter import bare_command, describe
from gateway.cli.runtime_api import (
    EVENT_LIMIT,
    Answered,
    Failed,
    FunctionError,
    Invocation,
    Ready,
    error_document,
)
from gateway.cli.runtime_folder import (
    LocalRuntimeError,
    choose_client,
    default_cache,
    lay_runtime_out,
)
from gateway.cli.runtime_process import Ended, RuntimeProcess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from gateway.cli.runtime_api import Message
    from gateway.cli.runtime_folder import Client

ACCOUNT = "123456789012"  # the one of AWS's own examples
MEMORY_MB = (128, 10_240)

# What a run depends on; Lambda's other variables may be replaced.
_OWN_VARIABLES = (
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_HANDLER",
)


@dataclass(frozen=True)
class Initialization:
    """What INIT took: from the start of the process to its first request for an event."""

    duration_ms: float
    cpu_ms: float | None
    """Processor time of all threads, where /proc says."""
    max_rss_kb: int | None
    """Peak resident memory at its end, where /proc says."""
    failure: Failed | None
    """Why there was no request for an event."""


@dataclass(frozen=True)
class Result:
    """What one invocation gave, and what it took."""

    request_id: str
    payload: bytes
    """What Lambda's caller would receive; of an error, the JSON document that describes it."""
    error: FunctionError | None
    cold: bool
    """Whether a process was started for this invocation."""
    init_ms: float
    """Duration of INIT; 0.0 when warm."""
    init_cpu_ms: float | None
    """Processor time of INIT, where /proc says; None when warm."""
    duration_ms: float
    """From the event sent to the answer received; 0.0 when INIT failed."""
    max_rss_kb: int | None
    """Peak resident memory of the process, where /proc says; None when it ended by itself."""
    logs: list[str]
    """Lines written to stdout and stderr since the last invocation, those of INIT included."""

    @property
    def billed_ms(self) -> int:
        """Milliseconds on the bill, which since August 2025 include INIT."""
        return math.ceil(self.init_ms + self.duration_ms)

    def json(self) -> Any:
        """Return the payload parsed; raises ValueError when it is not JSON."""
        return json.loads(self.payload)


class LocalRuntime:
    """A function's execution environment: started at need, warm after, killed at a timeout.

    *task_root* is the function's folder (see ``gateway.cli.layout``), *handler* is as Lambda has
    it, ``module.function``. *python* is the path of an interpreter, by default the running one.
    *client* is ``"awslambdaric"`` (the managed runtime's own, Linux only), ``"pure"`` (ours, of
    the same protocol) or ``"auto"``, the first where it is installed; the attribute ``client``
    says which one it became. *timeout* is the function's, in seconds (Lambda's own default is 3);
    *memory_mb* is a label, never enforced. The process sees the variables that Lambda sets and
    *environment*, nothing of the host. *cache_dir* keeps the laid-out runtime client between
    runs; by default it is inside the running virtual environment, or nothing is kept.

    Invocations from several threads follow one another. Misuse is a ValueError; LocalRuntimeError
    names the remedy when the function cannot be run at all; what the function does wrong is in
    the result.
    """

    def __init__(
        self,
        task_root: Path | str,
        handler: str,
        *,
        python: str | None = None,
        client: Client = "auto",
        timeout: float = 8.0,
        init_timeout: float = 10.0,
        memory_mb: int = 512,
        environment: Mapping[str, str] | None = None,
        region: str = "us-east-1",
        function_name: str = "local",
        cache_dir: Path | str | None = None,
    ) -> None:
        self.task_root = Path(task_root).absolute()
        self.handler = handler
        self.timeout = timeout
        self.init_timeout = init_timeout
        self.memory_mb = memory_mb
        self.region = region
        self.function_name = function_name
        self._given = dict(environment or {})
        self._check()
        self._interpreter = describe(python)
        self.client = choose_client(client, self._interpreter)
        self._scratch = tempfile.TemporaryDirectory(
            prefix="thriftgate-", ignore_cleanup_errors=True
        )
        scratch = Path(self._scratch.name)
        self._log = scratch / "log"
        self._log_offset = 0
        try:
            cache = Path(cache_dir or default_cache() or scratch)
            self._runtime_dir = lay_runtime_out(cache, self.client, self._interpreter)
        except ConfigurationError:
            self._scratch.cleanup()
            raise
        self._command = [
            *bare_command(self._interpreter, scratch / "python"),
            # The real task root is read-only: whatever has no bytecode is compiled at each start.
            "-B",
            str(self._runtime_dir / "bootstrap.py"),
            "runtime_client" if self.client == "pure" else "awslambdaric.__main__",
        ]
        self._lock = threading.Lock()
        self._process: RuntimeProcess | None = None
        self._is_ready = False
        self._start: Initialization | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Initialization:
        """Run INIT in a new process now and return what it took.

        The next invocation is still the cold one and reports the same figures; a failed INIT is
        tried again there.
        """
        with self._lock:
            return self._initialize()

    def invoke(
        self,
        event: object,
        *,
        client_context: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """Send one event and return what came back, starting the process if there is none.

        Bytes are sent as they are, anything else as its JSON. *headers* are added to those of the
        event, for instance ``Lambda-Runtime-Trace-Id``. Timeouts, crashes and errors of the
        handler are results; after the first two the next invocation is a cold start.
        """
        data = bytes(event) if isinstance(event, bytes | bytearray) else json.dumps(event).encode()
        if len(data) > EVENT_LIMIT:
            msg = (
                f"an event must be at most {EVENT_LIMIT} bytes, not {len(data)}; "
                "Lambda refuses it too: send the place of large data instead"
            )
            raise LocalRuntimeError(msg)
        arn = f"arn:aws:lambda:{self.region}:{ACCOUNT}:function:{self.function_name}"
        base = {
            "Lambda-Runtime-Invoked-Function-Arn": arn,
            "Lambda-Runtime-Trace-Id": _trace_id(),
        }
        if client_context is not None:
            base["Lambda-Runtime-Client-Context"] = json.dumps(client_context)
        with self._lock:
            try:
                return self._invoke(data, {**base, **(headers or {})})
            except BaseException:
                # Ctrl-C, mostly; the process is in the middle of something.
                self._stop()
                raise

    def stop(self) -> None:
        """End the process, as Lambda does after minutes without work; the next one is cold."""
        with self._lock:
            self._stop()

    def close(self) -> None:
        """End the process and remove the temporary files."""
        self.stop()
        self._scratch.cleanup()

    def _check(self) -> None:
        if not self.task_root.is_dir():
            msg = f"the task root {str(self.task_root)!r} is not a folder; lay the function out"
            raise LocalRuntimeError(msg)
        module, dot, function = self.handler.rpartition(".")
        if not (module and dot and function):
            msg = f"handler must be MODULE.FUNCTION, not {self.handler!r}"
            raise ValueError(msg)
        path = self.task_root.joinpath(*module.replace("/", ".").split("."))
        if not (
            path.is_dir() or any(path.parent.glob(f"{path.name}.*")) or "PYTHONPATH" in self._given
        ):
            msg = (
                f"there is no module {module!r} in {str(self.task_root)!r}; name the file and the "
                "function, for instance app.lambda_handler for lambda_handler in app.py"
            )
            raise LocalRuntimeError(msg)
        for name, seconds in (("timeout", self.timeout), ("init_timeout", self.init_timeout)):
            if not seconds > 0:
                msg = f"{name} must be more than 0 seconds, not {seconds!r}"
                raise ValueError(msg)
        if not MEMORY_MB[0] <= self.memory_mb <= MEMORY_MB[1]:
            msg = f"memory_mb must be from {MEMORY_MB[0]} to {MEMORY_MB[1]}, not {self.memory_mb!r}"
            raise ValueError(msg)
        for name in _OWN_VARIABLES:
            if name in self._given:
                msg = f"environment must not set {name!r}, which follows from the other arguments"
                raise ValueError(msg)

    def _invoke(self, data: bytes, headers: Mapping[str, str]) -> Result:
        process, start = self._prepare()
        request_id = str(uuid.uuid4())
        if process is None:
            failure = start.failure if start else None
            return self._result(request_id, start, failure, 0.0, None)
        deadline_ms = int((time.time() + self.timeout) * 1000)
        sent = time.perf_counter()
        process.send(Invocation(request_id, data, deadline_ms, headers))
        self._is_ready = False
        outcome = process.wait(self.timeout)
        duration_ms = (time.perf_counter() - sent) * 1000
        max_rss_kb = process.peak_rss_kb()
        if not isinstance(outcome, Answered | Failed):
            error = self._end(outcome, f"Task timed out after {self.timeout:.2f} seconds")
            message = f"RequestId: {request_id} Error: {error.message}"
            outcome = _failed(FunctionError(error.type, message))
        return self._result(request_id, start, outcome, duration_ms, max_rss_kb)

    def _prepare(self) -> tuple[RuntimeProcess | None, Initialization | None]:
        """Return a process that waits for an event, None if INIT failed; and INIT if it is news."""
        process = self._process
        if process is not None and not self._is_ready:
            # After an answer the client needs a moment, and may die of what it has been told.
            self._is_ready = isinstance(process.wait(self.timeout), Ready)
        if process is None or not self._is_ready or process.has_ended():
            self._initialize()
        start, self._start = self._start, None
        return self._process, start

    def _initialize(self) -> Initialization:
        self._stop()
        try:
            process = RuntimeProcess(self._command, self._variables(), self.task_root, self._log)
        except OSError as error:
            msg = f"the runtime process could not be started: {error}; check that "
            msg += f"{str(self.task_root)!r} and {self._command[0]!r} are still there"
            raise LocalRuntimeError(msg) from error
        self._process = process
        message = process.wait(self.init_timeout)
        duration_ms = (time.perf_counter() - process.started) * 1000
        cpu_ms, max_rss_kb = process.cpu_ms(), process.peak_rss_kb()
        failure = None
        if isinstance(message, Ready):
            self._is_ready = True
        elif isinstance(message, Failed):
            failure = message
            self._stop()
        else:
            text = f"INIT timed out after {self.init_timeout:.2f} seconds"
            failure = _failed(self._end(message, text))
        self._start = Initialization(duration_ms, cpu_ms, max_rss_kb, failure)
        return self._start

    def _end(self, message: Message | Ended | None, timeout_text: str) -> FunctionError:
        """Clear away a process that ended or hangs; return what Lambda calls that."""
        ending = self._stop()
        if isinstance(message, Ended):
            return FunctionError("Runtime.ExitError", ending)
        return FunctionError("Sandbox.Timedout", timeout_text)

    def _stop(self) -> str:
        process, self._process = self._process, None
        self._is_ready = False
        self._start = None
        return process.stop() if process is not None else ""

    def _result(
        self,
        request_id: str,
        start: Initialization | None,
        outcome: Answered | Failed | None,
        duration_ms: float,
        max_rss_kb: int | None,
    ) -> Result:
        return Result(
            request_id=request_id,
            payload=outcome.body if outcome else b"",
            error=outcome.error if isinstance(outcome, Failed) else None,
            cold=start is not None,
            init_ms=start.duration_ms if start else 0.0,
            init_cpu_ms=start.cpu_ms if start else None,
            duration_ms=duration_ms,
            max_rss_kb=max_rss_kb,
            logs=self._read_log(),
        )

    def _read_log(self) -> list[str]:
        with self._log.open("rb") as log:
            log.seek(self._log_offset)
            data = log.read()
        self._log_offset += len(data)
        lines = data.decode(errors="replace").split("\n")
        return lines if lines[-1] else lines[:-1]

    def _variables(self) -> dict[str, str]:
        """Return a new process's whole environment, but for the address of the Runtime API."""
        # Windows starts no program without this one.
        variables = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
        log_stream = time.strftime("%Y/%m/%d/[$LATEST]", time.gmtime()) + uuid.uuid4().hex
        variables |= {
            "AWS_DEFAULT_REGION": self.region,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": self.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.function_name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
            "AWS_REGION": self.region,
            "LANG": "en_US.UTF-8",
            "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
            "TZ": ":UTC",
        }
        return {
            **variables,
            **self._given,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{self._interpreter.minor}",
            "LAMBDA_RUNTIME_DIR": str(self._runtime_dir),
            "LAMBDA_TASK_ROOT": str(self.task_root),
            "_HANDLER": self.handler,
        }


def _failed(error: FunctionError) -> Failed:
    return Failed(error, error_document(error))


def _trace_id() -> str:
    epoch, root, parent = f"{int(time.time()):08x}", os.urandom(12).hex(), os.urandom(8).hex()
    return f"Root=1-{epoch}-{root};Parent={parent};Sampled=0"
