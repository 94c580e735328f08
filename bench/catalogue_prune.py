"""Prunes for some seconds what is due, as retention does; says how much. For `bench.catalogue`."""

import logging
import sys
import time
from contextlib import suppress
from pathlib import Path

import structlog

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import make_engine
from callrec_pbx.retention.run import Terms, run
from callrec_pbx.storage.store import RecordingStore


class EnoughError(Exception):
    """The time is over."""


def main() -> None:
    """Prune."""
    url, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # Without the folder of any day retention takes the disk for not mounted.
    (folder / "2020/01/01").mkdir(parents=True, exist_ok=True)
    begin, done = time.monotonic(), 0

    def told(_done: object) -> None:
        nonlocal done
        done += 1
        if time.monotonic() - begin > seconds:
            raise EnoughError

    with suppress(EnoughError):
        run(Place(make_engine(url), RecordingStore(folder)), Terms(), told=told)
    took = time.monotonic() - begin
    print(f"{done} recordings and calls in {took:.0f} s, {done / took:.0f} a second")


if __name__ == "__main__":
    main()
