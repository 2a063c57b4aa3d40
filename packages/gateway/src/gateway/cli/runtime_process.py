"""One process of a runtime client, with the Runtime API that it talks to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.runtime_api import RuntimeApi

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.cli.runtime_api import Invocation, Message

# A silent end is noticed this late at most; mostly its closing connection tells at once.
_TICK = 0.02


@dataclass(frozen=True)
class Ended:
    """The process ended by itself, without a message."""


class RuntimeProcess:
    """Start *command* in *folder*, writing to the file *log*; not safe under threads.

    The process leads a group of its own, and the whole group ends with it: what a handler started
    does not outlive its environment, and nothing else is ever signalled.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self._api = RuntimeApi()
        try:
            # A file and not a pipe: it cannot fill up and stop the process, and what was written
            # before an answer is in it, without waiting, when the answer has arrived.
            with log.open("ab") as sink:
                self.started = time.perf_counter()
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env={**environment, "AWS_LAMBDA_RUNTIME_API": self._api.address},
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    start_new_session=True,
                )
        except BaseException:
            self._api.close()
            raise
        self._proc = Path("/proc", str(self._process.pid))

    def wait(self, timeout: float) -> Message | Ended | None:
        """Return the next message, Ended, or None when *timeout* seconds bring neither."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            message = self._api.wait(min(left, _TICK))
            if message is not None:
                return message
            if self.has_ended():
                # It may have spoken between the two looks.
                return self._api.wait(0) or Ended()
        return None

    def send(self, invocation: Invocation) -> None:
        """Answer the request for an event."""
        self._api.send(invocation)

    def has_ended(self) -> bool:
        """Tell whether the process is over, without giving up its id."""
        if not hasattr(os, "waitid"):  # pragma: no cover - Windows, and macOS before Python 3.13
            return self._process.poll() is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def stop(self) -> str:
        """Kill the process and its children; return how it ended, as Lambda words it."""
        if os.name == "posix":
            # Before wait(): until then the id cannot belong to another process.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:  # pragma: no cover - Windows has no process groups
            self._process.kill()
        status = self._process.wait()
        self._api.close()
        if status == 0:
            return "Runtime exited without providing a reason"
        if status > 0:
            return f"Runtime exited with error: exit status {status}"
        return f"Runtime exited with error: signal {signal.Signals(-status).name}"

    def cpu_ms(self) -> float | None:
        """Return the processor time of its living threads so far, or None without /proc."""
        times = [int(path.read_text().split()[0]) for path in self._proc.glob("task/*/schedstat")]
        return sum(times) / 1e6 if times else None

    def peak_rss_kb(self) -> int | None:
        """Return its peak resident memory, or None without /proc or after its end."""
        with contextlib.suppress(OSError):
            for line in (self._proc / "status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        return None
