"""Whatever is damaged at once: a check finds just that, a mend mends it, and nothing is lost."""

import hashlib
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from callrec_pbx.catalogue.engine import make_engine
from callrec_pbx.storage.store import RecordingStore
from tests.databases import Databases
from tests.reconcile.damage import ALL, Damage
from tests.reconcile.house import House

PLAIN = tuple(damage for damage in ALL if not damage.encoded)
"""Those that any recording can suffer; one each, as two at one item can hide each other."""


def audio(house: House) -> Counter[str]:
    """The samples that there are, by their checksums, wherever they lie."""
    found = [p for p in house.store.directory.rglob("*.wav") if p.name.count(".") == 1]
    return Counter(hashlib.sha256(path.read_bytes()[44:]).hexdigest() for path in found)


@settings(max_examples=8)
@given(st.lists(st.sampled_from(PLAIN), min_size=2, max_size=5, unique_by=lambda d: d.name))
def test_any_damage(databases: Databases, damages: list[Damage]) -> None:
    folder = Path(tempfile.mkdtemp())
    engine = make_engine(databases.migrated_file(folder / "catalogue.db"))
    try:
        (folder / "recordings").mkdir()
        house = House(RecordingStore(folder / "recordings"), engine)
        recordings = [house.add(number) for number in range(len(damages))]
        for damage, facts in zip(damages, recordings, strict=True):
            damage.act(house, facts)
        before, files = audio(house), house.files()
        house.check()
        assert house.kinds == sorted(kind for damage in damages for kind in damage.found)
        assert house.files() == files
        house.check(mend=True)
        left = sorted(kind for damage in damages for kind in damage.left)
        house.check()
        assert house.kinds == left, house.told
        if not any(damage.loses for damage in damages):
            assert audio(house) == before
    finally:
        engine.dispose()
        shutil.rmtree(folder)
