"""The one place that imports pydub.

pydub 0.25.1 warns while it is imported: about escapes in its own regular expressions
(DeprecationWarning up to Python 3.11, SyntaxWarning from 3.12), about `audioop` (3.11 and 3.12)
and about a missing ffmpeg. Nobody who uses callrec-pbx can act on the first two, and the third
is answered where ffmpeg is needed. On 3.13 the package `audioop-lts` takes audioop's place.
"""

import importlib
import warnings
from typing import Any


def _load() -> Any:
    with warnings.catch_warnings():
        for category in (DeprecationWarning, SyntaxWarning):
            warnings.filterwarnings("ignore", r"(\"\\.*\" is an )?invalid escape", category)
        warnings.filterwarnings("ignore", "'audioop' is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "Couldn't find ff", RuntimeWarning)
        return importlib.import_module("pydub")


# pydub carries no types.
AudioSegment: Any = _load().AudioSegment
