"""A call's facts name the decision that its outcome follows from, not the guess of the offer."""

from callrec_pbx.domain.words import ConsentMode, Mode, Tried
from tests.domain.scene import Scene
from tests.rules import rule

BOARD = rule("board", Mode.NEVER, line=("301",))
SALES = rule("sales", line=("302",), consent=ConsentMode.ANNOUNCE)
REST = rule("rest", consent=ConsentMode.ANNOUNCE)
QUEUE = """
    0    caller  offered inbound - queue=support  -> ask announce + whisper
    5    caller  heard announce
    6    caller  bridged
"""


def told(scene: Scene) -> tuple[str, str, list[str]]:
    """Outcome, rule, and the rules that matched or might, of the only call."""
    (call,) = (*scene.calls.calls.values(), *scene.calls.closed.values())
    facts = call.facts()
    steps = [
        step.detail
        for step in facts.explanation.steps
        if step.what == "rule" and step.result is not Tried.NO_MATCH
    ]
    return f"{facts.outcome or 'open'} {facts.reason}".strip(), facts.rule, steps


def test_of_a_line_that_is_never_recorded() -> None:
    scene = Scene(BOARD, SALES, REST)
    scene.play(QUEUE)
    assert told(scene) == ("open", "sales", ["board", "sales", "rest"])
    scene.play(
        """
        6    301     bridged
        9    301     hung up
        9    caller  hung up
        """
    )
    assert told(scene) == ("not_selected rule", "board", ["board"])


def test_of_a_line_that_is_recorded() -> None:
    scene = Scene(BOARD, REST, SALES)
    scene.play(QUEUE)
    assert told(scene) == ("open", "rest", ["board", "rest"])
    scene = Scene(BOARD, SALES, REST)
    scene.play(QUEUE)
    scene.play(
        """
        6    303     bridged   -> start 303
        6.1  303     started
        9    303     hung up   -> finish 303
        9    caller  hung up
        9.1  303     finished
        """
    )
    assert told(scene) == ("recorded rule", "rest", ["rest"])
