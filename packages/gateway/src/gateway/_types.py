"""The types in the signatures of the gateway, for type checkers only: nothing imports this.

A name that is imported under TYPE_CHECKING costs each cold start what a name costs, although it
is never imported. So the modules that every cold start loads import all of them in one word.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re as re
    from collections.abc import Callable as Callable
    from collections.abc import Hashable as Hashable
    from collections.abc import Iterable as Iterable
    from collections.abc import Mapping as Mapping
    from collections.abc import Sequence as Sequence
    from contextlib import AbstractContextManager as AbstractContextManager
    from contextvars import ContextVar as ContextVar
    from types import ModuleType as ModuleType
    from typing import Any as Any
    from typing import ParamSpec as ParamSpec
    from typing import TypeVar as TypeVar
    from typing import Unpack as Unpack

    from cores.cache import Cache as Cache
    from cores.circuit_breaker import CircuitBreaker as CircuitBreaker
    from cores.config import Config as Config
    from cores.errors import CallerError as CallerError
    from cores.errors import CircuitOpenError as CircuitOpenError
    from cores.errors import ConfigurationError as ConfigurationError
    from cores.errors import ConnectError as ConnectError
    from cores.errors import DeadlineError as DeadlineError
    from cores.errors import GatewayError as GatewayError
    from cores.errors import LimitError as LimitError
    from cores.errors import MissingDependencyError as MissingDependencyError
    from cores.errors import ProtocolError as ProtocolError
    from cores.errors import RemoteError as RemoteError
    from cores.errors import TlsError as TlsError
    from cores.errors import TooLargeError as TooLargeError
    from cores.errors import TransferError as TransferError
    from cores.errors import UnknownOperationError as UnknownOperationError
    from cores.http_client import HttpClient as HttpClient
    from cores.http_client import Options as Options
    from cores.http_client import Response as Response
    from cores.http_client import TlsOptions as TlsOptions
    from cores.initialization import Initialization as Initialization
    from cores.lambda_ import Invocation as Invocation
    from cores.lambda_ import Lambda as Lambda
    from cores.logging import Bound as Bound
    from cores.logging import Logger as Logger
    from cores.metrics import Metrics as Metrics
    from cores.ports import Current as Current
    from cores.ports import Engine as Engine
    from cores.responses import Responses as Responses
    from cores.singleton import Singletons as Singletons
    from cores.utility import Utility as Utility
    from gateway import entrypoint as entrypoint
    from gateway._dispatch import Dispatcher as Dispatcher
    from gateway._dispatch import GatewayInterface as GatewayInterface
    from gateway._fast_path import FastPath as FastPath

    T = TypeVar("T")
    P = ParamSpec("P")
    Handler = Callable[[Any, Any], Any]
