"""Run a Home Assistant with a home prepared for the live tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

CONFIGURATION = Path(__file__).resolve().parent.parent / "tests/live/home/configuration.yaml"
START_LIMIT = 180.0  # seconds; a first start, which compiles everything, takes ten of them
STOP_LIMIT = 30.0
LAST_LINES = 40
YEARS = 10 * 365 * 24 * 3600.0

SIGNING_KEY = "c" * 128  # of every token; known here, so that any token can be made without a login
USERS = {
    # name: (user id, group, is active, id of the token's record)
    "Tester": ("a" * 32, "system-admin", True, "b" * 32),
    "Reader": ("1" * 32, "system-read-only", True, "8" * 32),
    "Former": ("2" * 32, "system-users", False, "9" * 32),
}


class NeverUpError(Exception):
    """The server did not reach the state RUNNING; the text ends with its last log lines."""


class Server:
    """A Home Assistant that runs while it is used as a context manager, on a free loopback port.

    `folder` receives its configuration and, unless `log` names another place, its output.
    """

    def __init__(self, python: Path, folder: Path, scheme: str, log: Path | None = None) -> None:
        self._python = python
        self._folder = folder
        self._scheme = scheme
        self._log = log or folder / "output.log"
        self._port = free_port()
        self.url = f"{scheme}://127.0.0.1:{self._port}"
        self.version = ""
        self._tokens = tokens()

    def environment(self) -> dict[str, str]:
        """Return the variables by which the tests find the server."""
        variables = {
            "HA_URL": self.url,
            "HA_TOKEN": self._tokens["token"],
            "HA_TOKENS_FILE": str(self._folder / "tokens.json"),
        }
        if self._scheme == "https":
            variables["HA_CA_FILE"] = str(self._folder / "client.pem")
        return variables

    def __enter__(self) -> Self:
        self._prepare()
        # Bytecode has to be kept, or every start costs what the first one did.
        variables = {key: each for key, each in os.environ.items() if not key.startswith("PYTHON")}
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                [
                    *(str(self._python), "-m", "homeassistant"),
                    *("--config", str(self._folder), "--skip-pip", "--log-no-color"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=variables,
                start_new_session=True,  # Ctrl-C is for the tests; the server is stopped after them
            )
        try:
            self.version = self._await()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _prepare(self) -> None:
        options: dict[str, Any] = {
            "server_host": "127.0.0.1",
            "server_port": self._port,
            "ip_ban_enabled": False,  # or tests with wrong tokens would lock the others out
        }
        if self._scheme == "https":
            make_certificates(self._folder)
            options["ssl_certificate"] = str(self._folder / "server.pem")
            options["ssl_key"] = str(self._folder / "server.key")
        shutil.copy(CONFIGURATION, self._folder)
        (self._folder / "http.yaml").write_text(json.dumps(options))  # JSON is YAML as well
        storage = self._folder / ".storage"
        storage.mkdir()
        steps = ["user", "core_config", "analytics", "integration"]
        for name, version, data in (("auth", 1, auth()), ("onboarding", 4, {"done": steps})):
            content = {"version": version, "minor_version": 1, "key": name, "data": data}
            (storage / name).write_text(json.dumps(content))
        (self._folder / "tokens.json").write_text(json.dumps(self._tokens))

    def _await(self) -> str:
        """Wait until the server is RUNNING, and return its version."""
        limit = time.monotonic() + START_LIMIT
        while self._process.poll() is None and time.monotonic() < limit:
            config = self._config()
            if config.get("state") == "RUNNING" and {"alexa", "demo"} <= set(config["components"]):
                return str(config["version"])
            time.sleep(0.1)
        status = self._process.poll()
        how = f"took more than {START_LIMIT:.0f} s" if status is None else f"ended with {status}"
        last = "\n".join(self._log.read_text(errors="replace").split("\n")[-LAST_LINES:])
        msg = f"Home Assistant never came up: it {how}. The end of its output:\n{last}"
        raise NeverUpError(msg)

    def _config(self) -> dict[str, Any]:
        """Return what the server says about itself, or nothing as long as it does not."""
        connection: http.client.HTTPConnection
        if self._scheme == "https":
            trust = ssl.create_default_context(cafile=self._folder / "client.pem")
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=3, context=trust
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3)
        try:
            authorization = {"Authorization": f"Bearer {self._tokens['token']}"}
            connection.request("GET", "/api/config", headers=authorization)
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()
        return found

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_certificates(folder: Path) -> None:
    """Write server.key and server.pem, and client.pem with the throw-away authority behind them."""
    command = [sys.executable, "-m", "trustme", "--quiet", "--dir", str(folder)]
    subprocess.run([*command, "--identities", "127.0.0.1", "localhost"], check=True)


def tokens() -> dict[str, str]:
    """Return an access token of the owner, and one of each kind that is refused or limited."""
    now = time.time()
    soon, late = now - 60, now + YEARS
    owner, reader, former = (record for _, _, _, record in USERS.values())
    return {
        "token": mint(owner, SIGNING_KEY, soon, late),
        "reader_token": mint(reader, SIGNING_KEY, soon, late),
        "deactivated_token": mint(former, SIGNING_KEY, soon, late),
        "expired_token": mint(owner, SIGNING_KEY, now - 7200, now - 3600),
        "foreign_token": mint("e" * 32, "f" * 128, soon, late),
    }


def mint(issuer: str, key: str, issued: float, expires: float) -> str:
    """Make an access token: a JWT (HS256) whose issuer is the id of the token's record."""
    header = {"alg": "HS256", "typ": "JWT"}
    claims = {"iss": issuer, "iat": int(issued), "exp": int(expires)}
    signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.new(key.encode(), signed, hashlib.sha256).digest()
    return b".".join((signed, _base64(signature))).decode()


def _base64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def auth() -> dict[str, Any]:
    """Return Home Assistant's record of users and of their long-lived tokens."""
    groups = {
        "system-admin": "Administrators",
        "system-users": "Users",
        "system-read-only": "Read Only",
    }
    users = [
        {
            "id": user,
            "group_ids": [group],
            "is_owner": name == "Tester",
            "is_active": active,
            "name": name,
            "system_generated": False,
            "local_only": False,
        }
        for name, (user, group, active, _) in USERS.items()
    ]
    records = [
        {
            "id": record,
            "user_id": user,
            "client_id": None,
            "client_name": f"live tests, {name}",
            "client_icon": None,
            "token_type": "long_lived_access_token",
            "created_at": "2026-01-01T00:00:00+00:00",
            "access_token_expiration": YEARS,
            "token": record[0] * 128,
            "jwt_key": SIGNING_KEY,
            "last_used_at": None,
            "last_used_ip": None,
            "expire_at": None,
            "credential_id": None,
            "version": None,
        }
        for name, (user, _, _, record) in USERS.items()
    ]
    return {
        "users": users,
        "groups": [{"id": group, "name": name} for group, name in groups.items()],
        "credentials": [],
        "refresh_tokens": records,
    }
