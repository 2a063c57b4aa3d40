"""One object for each name, made when it is first wanted."""

from __future__ import annotations

import os
import time
from threading import Condition, get_ident

from cores.errors import CallerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from cores.ports import Clock

    T = TypeVar("T")


class Singletons:
    """Makes one object for each name and keeps it for as long as the process lives.

    A factory may ask for other singletons. Factories that wait for each other in a circle, in one
    thread or across several, get an error that names the circle instead of waiting for ever.
    A forked process makes its own objects: connections must not be shared. Safe under threads.
    """

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._states: dict[int, _State] = {}

    def get(self, name: str, factory: Callable[[], T]) -> T:
        """Return the object called *name*, made by *factory* at the first call.

        Threads that come meanwhile wait. When *factory* raises, its caller gets the error and
        the next call tries again. Raises ``CallerError`` for a circle of factories.
        """
        state = self._state()
        try:
            entry = state.made[name]
        except KeyError:
            entry = self._make(state, name, factory)
        return entry.value  # type: ignore[return-value]  # a name has one factory

    def has(self, name: str) -> bool:
        """Tell whether the object called *name* has been made."""
        return name in self._state().made

    def reset(self, name: str | None = None) -> None:
        """Forget the object called *name*, or all of them, the youngest first.

        Objects with a method ``close`` are closed. All are forgotten even if some cannot be
        closed; then an ``ExceptionGroup`` of their errors is raised. A name that has no object
        is no error. An object that is just being made is kept.
        """
        state = self._state()
        with state.changed:
            names = list(reversed(state.made)) if name is None else [name]
            values = [state.made.pop(each).value for each in names if each in state.made]
        errors = []
        for value in values:
            close = getattr(value, "close", None)
            if callable(close):
                try:
                    close()
                except Exception as error:  # noqa: BLE001  collected and raised below
                    errors.append(error)
        if errors:
            msg = f"{len(errors)} of {len(values)} singletons could not be closed"
            raise ExceptionGroup(msg, errors)

    def close(self) -> None:
        """Forget and close all objects, as :meth:`reset` does."""
        self.reset()

    def stats(self) -> dict[str, object]:
        """Return ``count`` and ``singletons``, a mapping by name with the oldest first.

        Each has ``type``, ``made_at`` (wall time) and ``seconds`` (how long its factory took).
        """
        made = dict(self._state().made)
        return {
            "count": len(made),
            "singletons": {
                name: {
                    "type": type(entry.value).__name__,
                    "made_at": entry.made_at,
                    "seconds": entry.seconds,
                }
                for name, entry in made.items()
            },
        }

    def _state(self) -> _State:
        pid = os.getpid()
        state = self._states.get(pid)
        # setdefault is atomic, so threads of a fresh child agree on one state. The parent's
        # objects stay referenced: finalising them here would disturb connections it still uses.
        return self._states.setdefault(pid, _State()) if state is None else state

    def _make(self, state: _State, name: str, factory: Callable[[], object]) -> _Entry:
        if not isinstance(name, str):
            msg = f"a singleton's name is text, not {name!r}"
            raise TypeError(msg)
        if (
            not callable(factory)
            or getattr(getattr(factory, "__code__", None), "co_flags", 0) & 0x80
        ):
            msg = f"a singleton's factory is a plain function without arguments, not {factory!r}"
            raise TypeError(msg)
        me = get_ident()
        with state.changed:
            while name in state.makers:
                circle = state.circle(name, me)
                if circle:
                    msg = f"singletons need each other in a circle: {' -> '.join(circle)}"
                    raise CallerError(msg)
                state.waiting[me] = name
                try:
                    state.changed.wait()
                finally:
                    del state.waiting[me]
            if name in state.made:
                return state.made[name]
            state.makers[name] = me
        entry = None
        began = time.perf_counter()
        try:
            value = factory()
            entry = _Entry(value, self._clock(), time.perf_counter() - began)
        finally:
            with state.changed:
                del state.makers[name]
                if entry is not None:
                    state.made[name] = entry
                state.changed.notify_all()
        return entry


class _Entry:
    __slots__ = ("made_at", "seconds", "value")

    def __init__(self, value: object, made_at: float, seconds: float) -> None:
        self.value = value
        self.made_at = made_at
        self.seconds = seconds


class _State:
    """The objects of one process, and who is making or waiting for which."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.made: dict[str, _Entry] = {}
        self.makers: dict[str, int] = {}  # name -> thread, in the order they began
        self.waiting: dict[int, str] = {}  # thread -> name

    def circle(self, name: str, me: int) -> list[str]:
        """Return the names from *name* to *name* if waiting for it means to wait for oneself."""
        path: list[str] = []
        wanted: str | None = name
        # A thread that was woken and has not run yet may be noted as waiting for what is made.
        while wanted is not None and wanted in self.makers:
            maker = self.makers[wanted]
            names = [each for each, thread in self.makers.items() if thread == maker]
            path += names[names.index(wanted) :]
            if maker == me:
                return [*path, name]
            wanted = self.waiting.get(maker)
        return []
