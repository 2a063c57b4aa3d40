"""One invocation from its first line to its last: the ``@handler`` decorator."""

from __future__ import annotations

import functools
import threading
import time

from gateway import _wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from cores.lambda_ import Invocation
    from cores.ports import Current

    # What a handler takes and returns is between its author and the service that invokes it.
    Handler = Callable[[Any, Any], Any]

_COROUTINE = 0x80  # inspect.CO_COROUTINE; inspect itself costs a quarter of a bare start

_HTTP_KINDS = frozenset(("api_gateway", "http_api", "function_url", "alb"))

_APOLOGY = "Something went wrong. Please try again later."


def handler(
    func: Handler | None,
    preload: Sequence[str],
    metrics_namespace: str | None,
    correlation_id: str | None,
    *,
    log_event: bool,
) -> Handler | Callable[[Handler], Handler]:
    """Wrap *func*, or return a decorator when it is None. See ``gateway.handler``."""
    _check_options(func, preload, correlation_id)

    def decorate(func: Handler) -> Handler:
        # What every invocation needs belongs into INIT.
        _wiring.preload("lambda", *preload)
        if metrics_namespace is not None:
            _wiring.metrics.use_namespace(metrics_namespace)
        if _is_coroutine_function(func):
            func = _run_to_completion(func)

        @functools.wraps(func)
        def wrapper(event: Any, context: Any = None) -> Any:
            outer = _wiring.current.invocation  # another handler may have called this one
            invocation = _wiring.lambda_.begin(event, context, correlation_id=correlation_id)
            try:
                if log_event:
                    _wiring.logging.info("event", event=event)
                return func(event, context)
            except Exception as error:
                _wiring.logging.exception("handler failed", error=error, kind=invocation.kind)
                answer = _failure(invocation)
                if answer is None:
                    raise
                return answer
            finally:
                _wiring.flush()
                _wiring.lambda_.end(outer)

        return wrapper

    return decorate if func is None else decorate(func)


def _check_options(func: object, preload: object, correlation_id: object) -> None:
    if isinstance(preload, str) or not hasattr(preload, "__iter__"):
        msg = f"preload takes a sequence of interface names: preload=({preload!r},)"
        raise TypeError(msg)
    if correlation_id is not None and not isinstance(correlation_id, str):
        msg = f"correlation_id is a dotted path into the event, not {correlation_id!r}"
        raise TypeError(msg)
    if func is not None and not callable(func):
        msg = f"handler decorates a function of (event, context), not {func!r}"
        raise TypeError(msg)


def _failure(invocation: Invocation) -> object:
    """Return the answer that a failed invocation gives to its kind of caller; None means raise."""
    kind = invocation.kind
    if kind in _HTTP_KINDS:
        body = {"message": _APOLOGY, "correlation_id": invocation.correlation_id}
        return _wiring.lambda_.respond(invocation.event, 500, body)
    if kind == "alexa_smart_home":
        return _wiring.lambda_.alexa_error_response(
            invocation.event, "INTERNAL_ERROR", "the skill's function failed"
        )
    if kind == "alexa_skill":
        return _wiring.lambda_.alexa_response(_APOLOGY, end_session=True)
    return None


def _is_coroutine_function(func: Callable[..., Any]) -> bool:
    while isinstance(func, functools.partial):
        func = func.func
    if not hasattr(func, "__code__"):
        func = type(func).__call__  # an object with __call__
    code = getattr(func, "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)


def _run_to_completion(func: Handler) -> Handler:
    """Return a plain function that runs the coroutine function *func* on one lasting event loop.

    The runtime client does not await. The loop lives as long as the environment, so that
    connections opened in one invocation can be used in the next.
    """
    # These cost more than a bare start: only coroutine functions pay for them.
    import asyncio
    import contextvars

    runner = asyncio.Runner()

    @functools.wraps(func)
    def run(event: Any, context: Any) -> Any:
        variables = contextvars.copy_context()
        try:
            return runner.run(func(event, context), context=variables)
        finally:
            # What the function bound is part of the lines that follow it.
            for variable, value in variables.items():
                variable.set(value)

    run.runner = runner  # type: ignore[attr-defined]  # for whoever must close it: tests
    return run


class DeadlineWatch:
    """Calls *flush* once shortly before the deadline of each invocation.

    One daemon thread, started by the first line that is buffered. It looks at the current
    invocation at least twice a second and is told nothing else, so an invocation pays nothing
    for it. C code that holds the interpreter lock past the deadline is not helped.
    """

    def __init__(
        self,
        current: Current,
        flush: Callable[[], None],
        *,
        margin: float = 0.1,
        interval: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._current = current
        self._flush = flush
        self._margin = margin
        self._interval = interval
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._served: object = None

    def start(self) -> None:
        """Start the thread if it is not running; after a fork it is not."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._stopped = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stopped,), name="thriftgate-deadline", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def look(self) -> float:
        """Flush if it is time; return the seconds until the next look."""
        invocation = self._current.invocation
        if invocation is None or invocation is self._served:
            return self._interval
        left = invocation.deadline - self._margin - self._clock()
        if left > 0:
            return min(left, self._interval)
        self._served = invocation
        self._flush()
        return self._interval

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(self.look()):
            pass
