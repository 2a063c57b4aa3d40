"""The one module that talks to Home Assistant, through the gateway."""

from __future__ import annotations

import time

from gateway import (
    ConfigurationError,
    DeadlineError,
    GatewayError,
    TooLargeError,
    alexa_error_response,
    alexa_response,
    breaker_call,
    breaker_configure,
    event_kind,
    handler,
    http_preconnect,
    http_request,
    invocation,
    log_error,
    log_info,
    log_warning,
    preload,
    remaining_ms,
)
from ha_extension import errors
from ha_extension.directives import (
    MAX_ANSWER,
    MAX_DIRECTIVE,
    PATH,
    check_answer,
    is_bearer,
    is_directive,
    read_name,
    read_token,
    write_body,
)
from ha_extension.errors import (
    Failure,
    ShortDeadlineError,
    fault_of_answer,
    fault_of_error,
    fault_of_status,
)
from ha_extension.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

PATIENCE = 8.0
"""Seconds that Alexa waits for an answer, cold start included."""
MARGIN = 0.5
"""Seconds of that, and of the function's own time, kept back for the way of the answer."""
RUNTIME_START = 0.5
"""Seconds that a cold start takes before this package is imported: sandbox and interpreter."""
SHORTEST_PATIENCE = 1.0
"""Seconds granted however long INIT took: it may have happened long before Alexa asked."""
FAIR_BUDGET = 1.0
"""Seconds that a home must have had before its silence counts against it."""
PRECONNECT_TIMEOUT = 1.5
"""Seconds that INIT may spend on opening the connection."""
FAILURE_THRESHOLD = 3
"""Times in a row that the home did not answer, after which it is left alone for a while."""
RECOVERY = 5.0
"""Seconds of that while; a restart of Home Assistant takes about ten."""


class Bridge:
    """One Home Assistant, and the answers that Alexa gets from it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.url + PATH
        self._breaker = f"home_assistant:{settings.host}"
        self._headers = {"Content-Type": "application/json", **(settings.headers or {})}
        self._tls: dict[str, Any] = {  # Any: options of several types, passed on as they are
            "verify": settings.verify,
            "ca_file": settings.ca_file,
            "client_cert": settings.client_cert,
            "fingerprint": settings.fingerprint,
        }
        self._init_seconds = 0.0

    def start(self, began: float) -> None:
        """Report what is wrong with the settings, else load what every directive needs.

        *began* is the reading of ``time.perf_counter`` at which INIT reached this package.
        """
        for warning in self._settings.warnings:
            log_warning(warning)
        if self._settings.problems:
            log_error("the bridge is not configured", problems=self._settings.problems)
        else:
            self._connect()
        self._init_seconds = RUNTIME_START + time.perf_counter() - began

    def _connect(self) -> None:
        """Open the connection ahead of the first directive, which tells of what fails here."""
        try:
            preload("logging", "lambda", "circuit_breaker", "http_client")
            breaker_configure(
                self._breaker,
                failure_threshold=FAILURE_THRESHOLD,
                recovery=RECOVERY,
                # The home was reached, not asked, or had too little time: none says it is down.
                excluded=(TooLargeError, ConfigurationError, ShortDeadlineError),
            )
            http_preconnect(self._url, timeout=PRECONNECT_TIMEOUT, **self._tls)
        except GatewayError as error:
            log_error("the connection could not be prepared", reason=str(error))

    def answer(self, event: object) -> object:
        """Return the answer to *event*: Home Assistant's own bytes, or an object of ours."""
        if is_directive(event):
            return self._answer_directive(event)
        kind = event_kind(event)
        if kind != "alexa_skill":
            log_warning("refused an event that is not Alexa's", kind=kind)
            return {"error": "This function answers Alexa: a smart-home directive was expected."}
        if event["request"]["type"] == "SessionEndedRequest":  # type: ignore[index]  # a skill's
            return alexa_response()  # Alexa rejects anything more
        return alexa_response("Custom skills are not supported yet.", end_session=True)

    def _answer_directive(self, event: dict[str, Any]) -> object:
        """Return Home Assistant's answer to a directive, or a complete error."""
        name = read_name(event)
        began = time.perf_counter()
        try:
            body = self._forward(event, name)
        except Failure as failure:
            fault = failure.cause
            log_error(
                fault.message,
                kind=fault.kind,
                directive=name,
                host=self._settings.host,
                duration_ms=_milliseconds_since(began),
                **failure.details,
            )
            return alexa_error_response(event, fault.type, fault.message)
        log_info("answered", directive=name, duration_ms=_milliseconds_since(began))
        return body

    def _forward(self, event: dict[str, Any], name: str | None) -> bytes:
        """Return Home Assistant's answer as it was sent; raise `Failure` for everything else."""
        if self._settings.problems:
            raise Failure(errors.NOT_CONFIGURED)
        if name is None:
            raise Failure(errors.MALFORMED)
        try:
            body = write_body(event)
        except (TypeError, ValueError, RecursionError):
            raise Failure(errors.MALFORMED) from None
        if len(body) > MAX_DIRECTIVE:
            raise Failure(errors.OVERSIZED, size=len(body))
        own = read_token(event)
        token = own or self._settings.token
        if token is None or not is_bearer(token):
            raise Failure(errors.NO_TOKEN)
        status, headers, answer = self._send(body, token)
        if status != 200:  # noqa: PLR2004
            fault = fault_of_status(status, headers, answer, token, is_configured=own is None)
            raise Failure(fault, status=status)
        if reason := check_answer(answer):
            raise Failure(fault_of_answer(reason), status=status, size=len(answer))
        return answer

    def _send(self, body: bytes, token: str) -> tuple[int, Mapping[str, str], bytes]:
        """Send one directive, once, within what is left of Alexa's patience.

        Return the status, headers and body of what answered.
        """
        budget = self._budget()
        if budget <= 0:
            raise Failure(errors.NO_TIME)
        try:
            return breaker_call(self._breaker, self._request, body, token, budget)
        except GatewayError as error:
            # The gateway's errors name the origin and never quote what was sent or received.
            raise Failure(fault_of_error(error), reason=str(error)) from None

    def _request(
        self, body: bytes, token: str, budget: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Make the request; what a breaker must not count is raised as a type it leaves out."""
        try:
            response = http_request(
                "POST",
                self._url,
                headers={**self._headers, "Authorization": f"Bearer {token}"},
                body=body,
                timeout=budget,
                retries=1,  # only while nothing has been sent: the method is POST
                max_body=MAX_ANSWER,
                **self._tls,
            )
        except DeadlineError as error:
            if budget < FAIR_BUDGET:
                raise ShortDeadlineError(str(error)) from None
            raise
        return response.status, response.headers, response.body

    def _budget(self) -> float:
        """Return the seconds that Home Assistant has to answer."""
        patience = PATIENCE - MARGIN
        current = invocation()
        if current is not None and current.cold_start:
            patience = max(patience - self._init_seconds, SHORTEST_PATIENCE)
        return min(patience, remaining_ms(MARGIN) / 1000)


def _milliseconds_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def build_handler(environ: Mapping[str, str], began: float) -> Callable[[object, object], object]:
    """Return the Lambda handler of the bridge that *environ* describes, ready for work.

    *began* is the reading of ``time.perf_counter`` at which INIT reached this package. Wrong
    settings do not fail INIT, where their text would be lost: each directive is told instead.
    """
    bridge = Bridge(Settings(environ))
    bridge.start(began)

    @handler
    def lambda_handler(event: object, context: object) -> object:  # noqa: ARG001
        """Answer one Alexa event."""
        return bridge.answer(event)

    return lambda_handler
