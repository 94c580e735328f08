"""The product beside FreeSWITCH as it was: the same calls once more, and the same comes of them."""

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.replay.replay import Replay
from tests.replay.server import Cut
from tests.replay.transcript import FOLDER, SUFFIX, Kind, Transcript

FILES = sorted(FOLDER.glob(f"*{SUFFIX}"))

HEAD = 120
"""Bytes at the beginning of a message, which FreeSWITCH's headers fit into."""

PIECE = 3000
"""Longest piece (bytes) of a message that comes in pieces."""


def name(path: Path) -> str:
    """What a transcript is called."""
    return path.name.removesuffix(SUFFIX)


def smallest(count: int) -> list[Path]:
    """The transcripts with the least in them, cheap enough to play them several times."""
    return sorted(FILES, key=lambda path: path.stat().st_size)[:count]


def bytewise(message: bytes) -> Iterable[bytes]:
    """The head of a message and its end byte by byte, what is between in one piece."""
    yield from (message[at : at + 1] for at in range(min(HEAD, len(message))))
    if len(message) > HEAD:
        yield message[HEAD:-1]
        yield message[-1:]


def in_pieces(message: bytes) -> Iterable[bytes]:
    """Pieces of any length, the same in each run."""
    chance = random.Random(message)
    at = 0
    while at < len(message):
        length = chance.choice((1, 2, chance.randrange(3, PIECE)))
        yield message[at : at + length]
        at += length


def test_there_are_transcripts() -> None:
    """Some of a link that was cut among them."""
    assert FILES
    kinds = {entry.kind for path in FILES for entry in Transcript.load(path).entries}
    assert Kind.LOST in kinds


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=name)
async def test_replay(path: Path, tmp_path: Path) -> None:
    await Replay(Transcript.load(path), tmp_path).run()


@pytest.mark.slow
@pytest.mark.parametrize("cut", [bytewise, in_pieces])
@pytest.mark.parametrize("path", smallest(3), ids=name)
async def test_in_pieces(path: Path, tmp_path: Path, cut: Cut) -> None:
    """What comes of it is the same wherever TCP cuts the stream."""
    await Replay(Transcript.load(path), tmp_path).run(cut)
