"""A recording from its first packet to the encoded file, with its waveform and its name."""

import json
import subprocess
from pathlib import Path

from callrec_pbx.domain.words import AudioFormat, RecordingState
from tests.bed import measure
from tests.calls.listener import Listener
from tests.calls.rules import everything
from tests.calls.scene import AGENT, CALLER, EDGE_MS, Scene, both, talk

OPUS = everything(whisper=False, notice="none", channels="stereo", format="opus")
LEFT, RIGHT = 0, 1


def decoded(path: Path) -> Path:
    """What a player makes of it."""
    target = path.with_suffix(".decoded.wav")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-ar", "8000", str(target)]
    subprocess.run(command, check=True, timeout=60)
    return target


async def test_an_opus_recording_by_rule(listener: Listener, tmp_path: Path) -> None:
    listener.configure(OPUS, follow_up="threads = 1", names='on_disk = "by_owner"')
    await listener.up()
    scene = Scene(listener)
    caller, agent = await scene.conversation()
    at_once = await talk((caller, CALLER), (agent, AGENT), ms=700)
    question = await talk((caller, CALLER), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()

    def row() -> dict[str, object]:
        return listener.rows("SELECT * FROM recording")[0]

    await listener.until(lambda: row()["to_do"] == "", "the follow-up work")
    await listener.idle()
    (facts,) = listener.recording_facts()
    assert (facts.state, facts.call_id) == (RecordingState.STORED, call.call_id)
    assert (facts.format, facts.has_wav, facts.follow_up_error) == (AudioFormat.OPUS, False, "")
    assert (row()["encoded_sha256"], row()["has_wav"]) == (facts.encoded_sha256, 0)
    stem = facts.recording_id
    folder = listener.audio(facts).parent
    assert {path.name.removeprefix(stem) for path in folder.glob(f"{stem}*")} == {
        ".json",
        ".opus",
        ".peaks.json",
    }
    audio = listener.store().listen_path(facts)
    assert facts.named.startswith("301/")
    assert (listener.recordings / "named" / facts.named).samefile(audio)
    peaks = json.loads(listener.store().peaks_path(facts).read_text())
    assert (peaks["channels"], max(peaks["data"]) > 10) == (2, True)

    listener.cli("recordings", "download", stem, "--into", str(tmp_path), "--template", "{id}")
    copy = decoded(tmp_path / f"{stem}.opus")
    assert facts.audio_ms is not None
    assert abs(measure.duration_ms(copy) - facts.audio_ms) <= EDGE_MS
    for channel, hz, talked in (
        (LEFT, AGENT, at_once[AGENT]),
        (RIGHT, CALLER, both(at_once, question)[CALLER]),
    ):
        assert abs(measure.tone_ms(copy, hz, channel) - talked) <= EDGE_MS
    assert measure.tone_ms(copy, AGENT, RIGHT) == 0
