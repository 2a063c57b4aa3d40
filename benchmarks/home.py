"""The demo home behind TLS, in a process of its own, for benchmarks to talk to."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "bench-token"
_EVENT = Path(__file__).resolve().parent.parent / "examples" / "events" / "alexa-turn-on.json"


def directive() -> dict[str, Any]:
    """Return a TurnOn with the home's token."""
    event: dict[str, Any] = json.loads(_EVENT.read_text())
    event["directive"]["endpoint"]["scope"]["token"] = TOKEN
    return event


@contextlib.contextmanager
def running_home(folder: Path) -> Iterator[dict[str, str]]:
    """Run the home, with its certificates in *folder*; yield the bridge's settings for it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "home.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "home.key"))
    command = [sys.executable, "-m", "ha_extension.demo_home", "--token", TOKEN]
    command += ["--tls-cert", str(folder / "home.pem"), "--tls-key", str(folder / "home.key")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield {
                "HOME_ASSISTANT_URL": line.split()[-1],
                "HOME_ASSISTANT_CA_FILE": str(folder / "ca.pem"),
            }
        finally:
            process.terminate()
