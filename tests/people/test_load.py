"""Loading everybody as decisions need them."""

from sqlalchemy import Engine, event

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.domain.people import Line, Profile, Tenant, User
from callrec_pbx.people.load import load_people
from callrec_pbx.people.profiles import switch_profile
from callrec_pbx.policy.people import changing
from tests.people.house import ANNA, HOUSE, D, build


def test_everybody_is_there(engine: Engine) -> None:
    build(engine)
    switch_profile(engine, D, ANNA, "Lunch", "api")
    with reading(engine).begin() as connection:
        people = load_people(connection)
    anna = people.users[D, ANNA]
    assert anna == User(D, ANNA, "Anna", department="Sales", site="Berlin", profile="Lunch")
    assert people.profile_of(anna) == Profile(D, ANNA, "Lunch", record_direct=False, code="1")
    assert people.tenants == {D: Tenant(D)}
    line = people.line_of("202-desk")
    assert line == next(one for one in HOUSE if isinstance(one, Line) and one.extension == "202")
    assert people.line_of("201") == Line(D, "201", user=ANNA)
    belonging = people.belonging("201", "+468100", "support")
    assert belonging.user == anna
    assert belonging.site is not None
    assert (belonging.site.name, belonging.department) == ("Berlin", "Sales")
    assert belonging.queue is not None
    assert belonging.queue.site == "Stockholm"


def test_it_is_one_query_for_each_kind_however_many_there_are(engine: Engine) -> None:
    with changing(engine, author="ann") as changes:
        for number in range(500):
            changes.add(User(D, f"u{number}@example.com"))
            changes.add(Line(D, str(number), user=f"u{number}@example.com"))
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    with reading(engine).begin() as connection:
        people = load_people(connection)
    assert len(people.users) == 500
    assert len([text for text in statements if text.startswith("SELECT")]) == 8
