"""A command line parser whose complaint is one line that names what was probably meant."""

from __future__ import annotations

import argparse
import difflib
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parser(argparse.ArgumentParser):
    """An argument parser for `dev.py VERB`.

    A parser with `passes_on=True` leaves what it does not know to the program behind it.
    """

    def __init__(self, verb: str, description: str, *, passes_on: bool = False) -> None:
        super().__init__(prog=f"dev.py {verb}", description=description, allow_abbrev=False)
        self._passes_on = passes_on

    def parse_known_args(  # type: ignore[override]  # the overloads of typeshed add nothing here
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse what is left over unless it is to be passed on."""
        known, rest = super().parse_known_args(args, namespace)
        if rest and not self._passes_on:
            self._refuse(rest[0])
        return known, rest

    def _refuse(self, word: str) -> NoReturn:
        name = word.partition("=")[0]
        close = difflib.get_close_matches(name, self._option_string_actions, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else f"{self.prog} --help lists them."
        kind = "option" if word.startswith("-") else "argument"
        self.exit(2, f"{self.prog} has no {kind} {name!r}; {hint}\n")

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, without the usage in front of it."""
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help tells more.\n")
