"""How long a decision takes under a large policy, beside a loop over the same rules.

The policy has rules by DDI, queue, line, user and department, tenants' people and excluded
numbers, made from a fixed seed; the calls are of a mixed day. Three ways decide the same calls:

- `loop`: hard stops and rules one after the other, patterns as compiled regular expressions,
  as one would write it first; it knows the outcome and the rule, and no explanation;
- `callrec-pbx`: `Policy.decide`, with settings, inheritance and explanation;
- `callrec-pbx, every rule`: the same made to look at every rule, as `policy explain` does.

The first two must agree on every call. The second table shows what a decision costs as rules are
added that cannot match.

Run: python -m bench.policy [--rules 10000] [--users 50000] [--excluded 100000] [--calls 20000]
"""

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable

from callrec_pbx.domain.patterns import compiled
from callrec_pbx.domain.people import Ddi, Department, Line, People, Queue, Tenant, User
from callrec_pbx.domain.policy import CallInQuestion, Policy, PolicyText, Rule, Settings
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, Switch
from callrec_pbx.numbers import Numbers

SEED = 20
NAMES = ("ddi", "queue", "line", "user", "department")
LOOPED = 50
"""Calls that the loop decides: it takes long enough for each."""

Decide = Callable[[CallInQuestion], tuple[str, str]]


def company(users: int) -> People:
    """A tenant with a department for each 50 users, a queue for each 100, a DDI for each 5."""
    return People.of(
        [Tenant("default", Switch.ON, country="SE", language="sv")],
        departments=[Department("default", f"d{n}") for n in range(users // 50 + 1)],
        users=[
            User("default", f"u{n}@example.com", department=f"d{n // 50}") for n in range(users)
        ],
        lines=[Line("default", str(100_000 + n), user=f"u{n}@example.com") for n in range(users)],
        ddis=[Ddi("default", f"+4686{n:06}") for n in range(users // 5 + 1)],
        queues=[Queue("default", f"q{n}", department=f"d{n}") for n in range(users // 100 + 1)],
    )


def some_rule(number: int, users: int, chance: random.Random) -> Rule:
    """A rule about one thing, as a large company has them by the thousand."""
    kind = ("ddi", "queue", "line", "user", "department")[number % 5]
    one = chance.randrange(users)
    value = {
        "ddi": f"+4686{one // 5:06}" if number % 2 else f"+4686{one // 5:06}"[:-1] + "*",
        "queue": f"q{one // 100}",
        "line": str(100_000 + one),
        "user": f"u{one}@example.com",
        "department": f"d{one // 50}",
    }[kind]
    mode = chance.choice((Mode.ALWAYS, Mode.ALWAYS_PAUSABLE, Mode.NEVER))
    consent = chance.choice((ConsentMode.ANNOUNCE, ConsentMode.OPT_OUT))
    criteria = {kind: (value,), "direction": chance.choice(((), (Direction.INBOUND,)))}
    return Rule(f"rule {number}", mode, Settings(consent=consent), **criteria)  # type: ignore[arg-type]


def policy_text(rules: int, users: int, excluded: int, chance: random.Random) -> PolicyText:
    """Rules from the narrow to the one for the rest, and excluded numbers, some of them ranges."""
    listed = tuple(some_rule(number, users, chance) for number in range(rules - 1))
    rest = Rule("rest", Mode.ON_DEMAND, Settings(consent=ConsentMode.OPT_IN))
    numbers = [f"+4670{chance.randrange(10_000_000):07}" for _ in range(excluded)]
    ranges = [f"+49{chance.randrange(100_000):05}*" for _ in range(excluded // 1000)]
    return PolicyText(rules=(*listed, rest), excluded_numbers=(*numbers, *ranges))


def some_call(users: int, chance: random.Random) -> CallInQuestion:
    """A call of an ordinary day; each fifth comes by a queue, and nobody has answered it yet."""
    one = chance.randrange(users)
    number = f"070{chance.randrange(10_000_000):07}"
    direction = chance.choice((Direction.INBOUND, Direction.OUTBOUND))
    if chance.random() < 0.2:
        return CallInQuestion(Direction.INBOUND, None, queue=f"q{one // 100}", numbers=(number,))
    ddi = f"+4686{one // 5:06}" if direction is Direction.INBOUND else ""
    return CallInQuestion(direction, str(100_000 + one), ddi, numbers=(number,))


def loop(text: PolicyText, people: People, numbers: Numbers) -> Decide:
    """The straightforward way, as far as outcome and rule go."""

    excluded = [compiled(pattern) for pattern in text.excluded_numbers]
    criteria = [
        {name: [compiled(pattern) for pattern in getattr(rule, name)] for name in NAMES}
        for rule in text.rules
    ]

    def fits(number: int, call: CallInQuestion, values: dict[str, str]) -> bool:
        rule = text.rules[number]
        if rule.direction and call.direction not in rule.direction:
            return False
        for name, patterns in criteria[number].items():
            if not patterns or (call.line is None and name in ("line", "user", "department")):
                continue
            if not any(pattern.fullmatch(values[name]) for pattern in patterns):
                return False
        return True

    def decide(call: CallInQuestion) -> tuple[str, str]:
        for one in call.numbers:
            spelt = numbers.spellings(one, "SE")
            for pattern in excluded:
                if any(pattern.fullmatch(way) for way in spelt):
                    return "excluded", ""
        at = people.belonging(call.line, call.ddi, call.queue)
        email = at.user.email if at.user else ""
        values = {"ddi": call.ddi, "queue": call.queue, "line": call.line or "", "user": email}
        values["department"] = at.department
        for number, rule in enumerate(text.rules):
            if fits(number, call, values):
                personal = rule.line or rule.user or rule.department
                if call.line is None and personal and rule.mode is Mode.NEVER:
                    continue
                return ("not_selected" if rule.mode is Mode.NEVER else "recorded"), rule.name
        return "not_selected", ""

    return decide


def measure(decide: Decide, calls: list[CallInQuestion]) -> tuple[float, float, float]:
    """Decisions a second, and the median and 99th percentile of one in microseconds."""
    gc.collect()
    taken = []
    for call in calls:
        begun = time.perf_counter()
        decide(call)
        taken.append(time.perf_counter() - begun)
    cuts = statistics.quantiles(taken, n=100)
    return len(taken) / sum(taken), cuts[49] * 1e6, cuts[98] * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, default in (("rules", 10_000), ("users", 50_000), ("excluded", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--calls", type=int, default=20_000)
    given = parser.parse_args()
    chance = random.Random(SEED)
    people = company(given.users)
    text = policy_text(given.rules, given.users, given.excluded, chance)
    numbers = Numbers()
    begun = time.perf_counter()
    policy = Policy("1", text, people=people, numbers=numbers)
    print(f"compiled in {time.perf_counter() - begun:.1f} s")
    calls = [some_call(given.users, chance) for _ in range(given.calls)]

    def decide(call: CallInQuestion) -> tuple[str, str]:
        decision = policy.decide(call)
        return decision.outcome.value, decision.rule

    def every(call: CallInQuestion) -> tuple[str, str]:
        decision = policy.decide(call, every=True)
        return decision.outcome.value, decision.rule

    straight = loop(text, people, numbers)
    differ = [call for call in calls[:LOOPED] if straight(call) != decide(call)]
    if differ:
        raise SystemExit(f"{len(differ)} calls are decided differently, such as {differ[0]}")
    print(f"{'':24} {'decisions/s':>12} {'p50 us':>10} {'p99 us':>10}")
    shown = {}
    for name, way, count in (
        ("loop", straight, LOOPED),
        ("callrec-pbx", decide, given.calls),
        ("callrec-pbx, every rule", every, LOOPED),
    ):
        rate, middle, high = shown[name] = measure(way, calls[:count])
        print(f"{name:24} {rate:12,.0f} {middle:10,.0f} {high:10,.0f}")
    print(f"ratio to the loop: {shown['callrec-pbx'][0] / shown['loop'][0]:,.0f}")
    print()
    print(f"{'rules':>8} {'decisions/s':>12} {'p50 us':>10} {'p99 us':>10}")
    for rules in (10, 100, 1_000, given.rules):
        part = PolicyText(rules=(*text.rules[: rules - 1], text.rules[-1]))
        small = Policy("1", part, people=people, numbers=numbers)
        rate, middle, high = measure(
            lambda call, small=small: (small.decide(call).rule, ""),  # type: ignore[misc]
            calls[: given.calls // 4],
        )
        print(f"{rules:8,} {rate:12,.0f} {middle:10,.0f} {high:10,.0f}")


if __name__ == "__main__":
    main()
