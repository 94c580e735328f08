"""What the demonstration shows on the terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

WIDTH = 120
"""As wide as the widest table of ours."""


class Screen:
    """Prints steps as they go, with how long each took."""

    def __init__(self) -> None:
        self.console = Console(width=WIDTH, highlight=False, record=True)
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show that something is going on, and then that it is done; yields a setter of a note."""
        notes: list[str] = []
        began = time.monotonic()
        try:
            with self.console.status(Text(what)):
                yield notes.append
        except BaseException:
            self._line("✗", "red", what, began, "")
            raise
        self._line("✓", "green", what, began, " ".join(notes))

    def _line(self, sign: str, colour: str, what: str, began: float, note: str) -> None:
        line = Text.assemble((f"{sign} ", colour), what)
        line.append(f"  {time.monotonic() - began:.1f} s", "dim")
        if note:
            line.append(f"  {note}", "cyan")
        self.console.print(line)

    def chapter(self, title: str) -> None:
        """Begin a new part."""
        self.console.print()
        self.console.print(Rule(Text(title, "bold"), align="left", style="dim"))

    def happened(self, who: str, what: str) -> None:
        """Say what somebody in a call does."""
        self.console.print(Text.assemble((f"  {who:<7}", "bold magenta"), what))

    def output(self, text: str) -> None:
        """Show what a command of ours printed."""
        self.console.print(Text(text.rstrip("\n")), soft_wrap=True)

    def save(self, picture: Path, title: str) -> None:
        """Keep all of it as a picture (SVG)."""
        # Without the fonts that a reader's browser would have to fetch from somewhere.
        template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        self.console.save_svg(str(picture), title=title, clear=False, code_format=template)
