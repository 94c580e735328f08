"""Each kind of damage is found, mended where that loses nothing, and found no more."""

from dataclasses import replace

import pytest

from callrec_pbx.domain.facts import RecordingFacts
from tests.databases import only_sqlite
from tests.reconcile.damage import ALL, Damage
from tests.reconcile.house import House


def make(house: House, number: int, encoded: str) -> RecordingFacts:
    if not encoded:
        return house.add(number)
    facts = house.add_encoded(number, keep_wav=encoded != "replaced")
    if encoded == "replacing":
        facts = replace(facts, keep_wav=False)
        house.save(facts, house.call(facts))
    return facts


@only_sqlite
@pytest.mark.parametrize("damage", ALL, ids=lambda damage: damage.name)
def test_found_and_mended(house: House, damage: Damage) -> None:
    house.add(1)
    facts = make(house, 2, damage.encoded)
    house.check()
    assert house.kinds == []
    damage.act(house, facts)
    before = house.files()
    house.check()
    assert house.kinds == sorted(damage.found), house.told
    assert not any(one.mended for one in house.told)
    assert house.files() == before
    result = house.check(mend=True)
    assert sorted(map(str, result.left.elements())) == sorted(damage.left), house.told
    house.check()
    assert house.kinds == sorted(damage.left), house.told
