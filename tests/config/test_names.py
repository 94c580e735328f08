"""Templates of names, and the threads of the follow-up work, in the configuration."""

from pathlib import Path

import pytest

from callrec_pbx.config import ConfigError, parse_config

FILE = Path("/etc/callrec-pbx/callrec.toml")


def test_values() -> None:
    config = parse_config(
        '[names]\ndownload = "matelso"\non_disk = "{owner}/{id}"\nzone = "Europe/Berlin"\n'
        "[follow_up]\nthreads = 0\n",
        FILE,
    )
    assert config.names.model_dump() == {
        "download": "matelso",
        "on_disk": "{owner}/{id}",
        "zone": "Europe/Berlin",
    }
    assert config.follow_up.threads == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[names]\ndownload = "{who}"', 'names.download = "{who}": there is no field {who}; known'),
        ('[names]\ndownload = ""', 'names.download = "": is neither a preset nor a template'),
        ('[names]\non_disk = "../{id}"', 'names.on_disk = "../{id}": has a folder or file that'),
        ('[names]\nzone = "Mars"', 'names.zone = "Mars": is no time zone; give one such as'),
        ("[follow_up]\nthreads = -1", "follow_up.threads = -1: "),
        ("[follow_up]\nthreads = true", "follow_up.threads = true: is not a number"),
        ("[follow_up]\nthread = 1", "follow_up.thread: there is no such setting; did you mean"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, FILE)
    assert f"{FILE}: {said}" in str(caught.value)
