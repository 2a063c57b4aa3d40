"""The composition root: how each core is built and which neighbours it gets.

Nothing here is built before it is used. Ports are passed as `Lazy` objects, never as one of their
bound methods, because taking the method would build the neighbour.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from functools import partial
from importlib import import_module
from time import perf_counter, time
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gateway._types import *


# The cores whose functions are called so often that handles take their places.
HOT = ("cache", "logging", "metrics", "singleton")
# The agreement with fastpath_ext about what its compiled objects look like.
NEED_ABI = 2


class Lazy:
    """Stands for an object that is built when one of its attributes is first used.

    Methods are remembered, so a later call costs an attribute lookup. A build that fails is
    reported to its caller and tried again by the next one. Safe under threads: one build, which
    the other threads wait for. Pickles and copies as a reference to itself.
    """

    _target: object = None
    _is_building = False
    _loaded_at = _load_ms = 0.0

    def __init__(self, name: str, build: Callable[[], object]) -> None:
        self._name = name
        self._build = build
        self._lock = RLock()

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):  # copy, pickle and inspect probe for these
            msg = f"{self!r} has no attribute {name!r}"
            raise AttributeError(msg)
        target = self._load()
        value = getattr(target, name)
        if callable(value):
            with self._lock:
                if self._target is target:  # not reset meanwhile
                    self.__dict__[name] = value
        return value

    def __repr__(self) -> str:
        return f"<Lazy {self._name}, {'loaded' if self._target is not None else 'not loaded'}>"

    def __reduce__(self) -> str:
        return self._name  # pickle and copy take it as the name of a variable of this module

    def _load(self) -> object:
        with self._lock:
            if self._target is None:
                if self._is_building:
                    msg = f"{self._name} needs itself while it is being built"
                    raise RuntimeError(msg)
                self._is_building = True
                began = perf_counter()
                try:
                    self._target = self._build()
                finally:
                    self._is_building = False
                self._load_ms = (perf_counter() - began) * 1000
                self._loaded_at = time()
            return self._target

    def _reset(self) -> None:
        with self._lock:
            target, self._target = self._target, None
            for name in [name for name in self.__dict__ if not name.startswith("_")]:
                del self.__dict__[name]
        close = getattr(target, "close", None)
        if close is not None:
            close()


_named: dict[str, Lazy] = {}


def lazy(name: str, build: Callable[[], T]) -> T:
    """Return a stand-in for what *build* returns, to be built on first use.

    *name* is that of the variable that holds it.
    """
    stand_in = _named[name] = Lazy(name, build)
    return stand_in  # type: ignore[return-value]  # that is the point: calls through it are typed


def _find_extension() -> tuple[ModuleType | None, str]:
    """Return the compiled extension, or None and why the pure path runs."""
    if os.environ.get("THRIFTGATE_PURE", "0") not in ("", "0"):
        return None, "THRIFTGATE_PURE is set"
    try:
        import fastpath_ext
    except ImportError as error:
        return None, f"fastpath_ext is not installed ({error})"
    except Exception as error:  # noqa: BLE001  a foreign or broken module may raise anything
        return None, f"fastpath_ext cannot be imported ({type(error).__name__}: {error})"
    if not getattr(fastpath_ext, "COMPILED", False):
        return None, getattr(fastpath_ext, "reason", "fastpath_ext is another package")
    abi = getattr(fastpath_ext, "ABI", None)
    if abi != NEED_ABI:
        return (
            None,
            f"fastpath_ext speaks ABI {abi!r}, this gateway needs {NEED_ABI}; upgrade the older",
        )
    return fastpath_ext, ""


extension, reason = _find_extension()
# Holds the invocation that is going on now, or None between invocations; the cores share it.
current: Current = SimpleNamespace(invocation=None)


def write_stdout(data: bytes, /) -> None:
    """Write all of *data* to standard output, past Python's own buffers."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def setting(name: str, default: float, minimum: float) -> float:
    """Return the number in the environment variable *name*; raise if it is none."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = minimum - 1
    if minimum <= value < float("inf"):
        return value
    from cores.errors import ConfigurationError

    msg = f"{name} must be a number of at least {minimum:g}, not {text!r}"
    raise ConfigurationError(msg)


def _build_cache() -> Cache:
    from cores.cache import Cache

    engine: Callable[..., Engine]
    if extension is None:
        from cores.store import Store

        engine = Store
    else:
        engine = extension.Store
    max_bytes = int(setting("THRIFTGATE_CACHE_MAX_BYTES", 0, 0))
    return Cache(
        engine,
        max_entries=int(setting("THRIFTGATE_CACHE_MAX_ENTRIES", 1000, 1)),
        max_bytes=max_bytes or None,
        current=current,
    )


def _build_logging() -> Logger:
    from cores.logging import LEVELS, Logger

    # A wrong setting of the log must not take the function down: it is the log's first line.
    level = "INFO"
    problems = []
    for name in ("THRIFTGATE_LOG_LEVEL", "AWS_LAMBDA_LOG_LEVEL"):
        given = os.environ.get(name, "")
        if given.upper() in LEVELS:
            level = given
            break
        if given:
            problems.append(f"{name} must be one of {', '.join(LEVELS)}, not {given!r}")
    buffer_size = 65_536.0
    try:
        buffer_size = setting("THRIFTGATE_LOG_BUFFER", buffer_size, 0)
    except Exception as error:  # noqa: BLE001  its class costs more than a log's start
        problems.append(str(error))
    logger = Logger(
        write=write_stdout,
        level=level,
        buffer_bytes=int(buffer_size),
        current=current,
        watch=watch,
        variable=log_context,
    )
    if problems:
        problems.append("the defaults are used")
        logger.error("; ".join(problems))
    return logger


def _build_metrics() -> Metrics:
    from cores.metrics import Metrics

    metrics = Metrics(
        write=write_stdout,
        max_identities=int(setting("THRIFTGATE_METRICS_MAX_IDENTITIES", 10, 0)),
        current=current,
        watch=watch,
    )
    namespace = os.environ.get("THRIFTGATE_METRICS_NAMESPACE", "")
    try:
        metrics.use_namespace(namespace or "thriftgate")
    except ValueError as error:
        from cores.errors import ConfigurationError

        msg = f"THRIFTGATE_METRICS_NAMESPACE is wrong: {error}"
        raise ConfigurationError(msg) from error
    return metrics


def _build_http_client() -> HttpClient:
    from cores.http_client import HttpClient

    return HttpClient(
        current=current,
        breaker=circuit_breaker,
        log=logging,
        timeout=setting("THRIFTGATE_HTTP_TIMEOUT", 10.0, 0.001),
    )


def _make(module: str, name: str, /, *args: object, **ports: object) -> Any:
    """Return what *name* of *module* makes of the arguments; nearly all cores are built so."""
    return getattr(import_module(module), name)(*args, **ports)


def flush(operation: str = "flush") -> None:
    """Write what the logging and metrics cores hold, if they are loaded.

    With *operation* ``forget``, in a forked child, leave it to the parent.
    """
    for core in (logging, metrics):
        if core._target is not None:  # type: ignore[union-attr]  # noqa: SLF001  Lazy's own
            getattr(core, operation)()


watch: entrypoint.DeadlineWatch = lazy(
    "watch", partial(_make, "gateway.entrypoint", "DeadlineWatch", current, flush)
)
log_context: ContextVar[Bound] = lazy(
    "log_context", partial(_make, "contextvars", "ContextVar", "thriftgate_log_context")
)
cache = lazy("cache", _build_cache)
logging = lazy("logging", _build_logging)
metrics = lazy("metrics", _build_metrics)
singleton: Singletons = lazy("singleton", partial(_make, "cores.singleton", "Singletons"))
http_client = lazy("http_client", _build_http_client)
utility: Utility = lazy("utility", partial(_make, "cores.utility", "Utility", current=current))
initialization: Initialization = lazy(
    "initialization",
    partial(_make, "cores.initialization", "Initialization", current=current, log=logging),
)
responses: Responses = lazy("responses", partial(_make, "cores.responses", "Responses"))
lambda_: Lambda = lazy(
    "lambda_",
    partial(_make, "cores.lambda_", "Lambda", current=current, responses=responses, log=logging),
)
circuit_breaker: CircuitBreaker = lazy(
    "circuit_breaker", partial(_make, "cores.circuit_breaker", "CircuitBreaker")
)
config: Config = lazy("config", partial(_make, "cores.config", "Config"))

# Parts of the gateway itself that many functions never need.
entry: ModuleType = lazy("entry", partial(import_module, "gateway.entrypoint"))
dispatcher: Dispatcher = lazy("dispatcher", partial(_make, "gateway._dispatch", "Dispatcher"))
fast_path: FastPath = lazy("fast_path", partial(_make, "gateway._fast_path", "FastPath"))

# Every interface by name; register_interface adds to it.
interfaces: dict[str, Any] = {
    "cache": cache,
    "logging": logging,
    "metrics": metrics,
    "singleton": singleton,
    "http_client": http_client,
    "utility": utility,
    "initialization": initialization,
    "lambda": lambda_,
    "circuit_breaker": circuit_breaker,
    "config": config,
}


# What stands in for the hot functions on the compiled path, by operation.
handles: dict[str, Any] = {}
# Operations that the string door calls without asking the dispatcher: interface -> operation ->
# handle. The door itself is a handle of execute_operation.
routes: dict[str, dict[str, Any]] = {}
door: Any = None


def put_handles(namespace: dict[str, Any]) -> None:
    """Put handles in the place of hot functions, unless there is no extension that makes them."""
    global door, extension, reason  # noqa: PLW0603  one door a process
    if extension is None:
        return
    try:
        door = extension.put_handles(namespace, sys.modules[__name__])
    except Exception as error:  # noqa: BLE001  a foreign extension is no reason to fail
        handles.clear()
        extension, reason = None, f"fastpath_ext makes no handles ({type(error).__name__}: {error})"


def target_of(function: Callable[..., Any]) -> Any:
    """Return the method that a public function calls."""
    _, core, method = function.__code__.co_names
    return getattr(globals()[core], method)


def preload(*names: str) -> None:
    """Build the cores of the interfaces *names* now."""
    for name in names:
        if not isinstance(name, str) or name not in interfaces:
            msg = f"an interface is one of {', '.join(interfaces)}, not {name!r}"
            raise ValueError(msg)
    for name in names:
        interfaces[name]._load()  # noqa: SLF001  Lazy's own module


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=partial(flush, "forget"))


def reset() -> None:
    """Forget every built core and the current invocation."""
    current.invocation = None
    # Handles are unbound before and after: what a core lets go of may call some of them.
    for stand_ins in ((), _named.values()):
        for stand_in in stand_ins:
            stand_in._reset()  # noqa: SLF001
        routes.clear()
        for handle in [*handles.values(), *([] if door is None else [door])]:
            handle.bind(None)
            handle.turn(on=True)
