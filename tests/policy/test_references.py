"""What four hosted services can be told to do, said in our words.

Each folder of `references/` is a house as an administrator sets it up: the commands in
`house.txt`, the policy, and a table of calls with what must come of them. Between the commands
recording is on; what they print goes to nobody, what they say of the calls is the test.
"""

import shlex
from pathlib import Path

import pytest

from callrec_pbx.catalogue.migrate import open_current, upgrade
from callrec_pbx.cli import main
from tests.acknowledged import switch_on

REFERENCES = Path(__file__).parent / "references"
HOUSES = sorted(path.parent.name for path in REFERENCES.glob("*/house.txt"))


def run(*arguments: str) -> int:
    """The exit status of one of our commands."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a catalogue of its own, recording on."""
    url = f"sqlite:///{tmp_path}/catalogue.db"
    upgrade(url)
    engine = open_current(url)
    switch_on(engine)
    engine.dispose()
    path = tmp_path / "callrec.toml"
    path.write_text(
        f'[recordings]\ndirectory = "{tmp_path}/recordings"\n[catalogue]\nurl = "{url}"\n'
        f'[asterisk]\nconfig_dir = "{tmp_path}"\ndata_dir = "{tmp_path}"\n'
    )
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("house", HOUSES)
def test_a_house(
    house: str,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(REFERENCES / house)
    for line in Path("house.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        status = run("--config", str(config), *shlex.split(line))
        told = capsys.readouterr()
        assert status == 0, f"{line}\n{told.out}\n{told.err}"


def test_a_case_that_is_wrong_is_found(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tables above would say so."""
    case = '[[case]]\nname = "x"\nfrom = "+4670"\nto = "301"\nexpect = { outcome = "recorded" }\n'
    (tmp_path / "cases.toml").write_text(case)
    assert run("--config", str(config), "policy", "test", str(tmp_path / "cases.toml")) == 1
    assert "not_selected" in capsys.readouterr().out
