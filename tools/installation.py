"""Run one step of an installation: show that it goes on, and put a failure into a paragraph."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAIL = 12  # lines of an installer's output that are shown when its failure has no known cause
STILL = 15.0  # seconds between signs of life when nobody watches a terminal

# What installers print, and what it means for whoever reads it.
CAUSES = {
    ("CERTIFICATE_VERIFY_FAILED", "SSLError", "invalid peer certificate"): (
        "The package index presented a certificate that is not trusted here, as a company's proxy"
        " does. Name its certificate authority's file in PIP_CERT (pip) or SSL_CERT_FILE (uv)."
    ),
    (
        "Failed to establish a new connection",
        "NewConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ProxyError",
        "Network is unreachable",
        "name resolution",
        "error sending request",
        "tcp connect error",
        "dns error",
        "Failed to fetch",
    ): (
        "The package index could not be reached. Check the network connection and the proxy"
        " (HTTPS_PROXY), or name another index in PIP_INDEX_URL (pip) or UV_INDEX_URL (uv), then"
        " run the same command again; what was downloaded is kept."
    ),
    ("No space left on device",): "The disk is full. Make room and run the same command again.",
    ("Permission denied", "Read-only file system"): (
        "A folder cannot be written. Check who owns the checkout and its .venv folder."
    ),
    ("No matching distribution found", "No solution found"): (
        "The package index has no release of a requirement for this Python and machine."
    ),
}


class PreparationError(Exception):
    """An environment could not be made; the text says what to do about it."""


def say(text: str) -> None:
    """Print a line for the developer; standard output belongs to the verb."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def run(
    what: str,
    command: Sequence[str],
    log: Path,
    folder: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    causes: Mapping[tuple[str, ...], str] = CAUSES,
) -> None:
    """Run an installer, showing what it does and for how long.

    Its output goes to `log`. Raises PreparationError with the cause in words when it fails; what
    is no installer has no `causes`, and the end of its output is shown.
    """
    # An index asking for a password would wait for ever behind a captured output, and --user
    # (a common setting of distributions) is refused inside a virtual environment.
    settings = {"PIP_NO_INPUT": "1", "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**environment, **settings},
        )
    try:
        _watch(process, what, log, start)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        raise PreparationError(explain(what, log, causes))
    say(f"{what}: {time.monotonic() - start:.0f} s")


def _watch(process: subprocess.Popen[bytes], what: str, log: Path, start: float) -> None:
    """Wait for a process with a sign of life on the terminal, or a line now and then."""
    terminal = sys.stderr.isatty()
    if not terminal:
        say(f"{what} ...")
    due = STILL
    while True:
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - start
            if terminal:
                line = f"{what} ... {elapsed:.0f} s  {_last_line(log)}"
                width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
                sys.stderr.write(f"\r\033[K{line[:width]}")
                sys.stderr.flush()
            elif elapsed >= due:
                due += STILL
                say(f"... {elapsed:.0f} s  {_last_line(log)}")
        else:
            break
    if terminal:
        sys.stderr.write("\r\033[K")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace")[-2000:].split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def explain(what: str, log: Path, causes: Mapping[tuple[str, ...], str] = CAUSES) -> str:
    """Return a paragraph on why an installer failed, from what it printed."""
    text = log.read_text(encoding="utf-8", errors="replace")
    for signs, meaning in causes.items():
        if any(sign in text for sign in signs):
            paragraph = f"{what} failed. {meaning} The installer's own words are in {log}."
            return textwrap.fill(paragraph, 88, break_long_words=False, break_on_hyphens=False)
    tail = "\n".join(f"  {line}" for line in text.rstrip().split("\n")[-TAIL:])
    return f"{what} failed. The end of {log}:\n{tail}"
