"""An administrator's Asterisk folders, and a configuration that points to them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from callrec_pbx.config import Config, load_config

MANAGER = (
    "; Asterisk's manager\n[general]\nenabled = yes\nport = 5038\nbindaddr = 127.0.0.1\n\n"
    "[monitoring]\nsecret = others-secret\nread = all\n"
)
EXTENSIONS = (
    "[general]\nstatic=yes\n\n[globals]\n\n[from-internal]\nexten => _X.,1,NoOp()\n"
    " same => n,Dial(PJSIP/${EXTEN})\n"
)
FEATURES = (
    "[general]\n\n[featuremap]\nblindxfer => *1\n\n"
    ";[applicationmap]  ; not yet\n;--\n[applicationmap]\nold => *9,self,NoOp\n--;\n"
    "[applicationmap]  ; ours\nmine => *5,self,NoOp\n"
)


@dataclass(frozen=True)
class Host:
    """A machine with an Asterisk.

    Attributes:
        etc: Asterisk's configuration.
        data: Asterisk's data.
        toml: Our configuration file.
    """

    etc: Path
    data: Path
    toml: Path

    @property
    def root(self) -> Path:
        return self.toml.parent.parent

    def config(self) -> Config:
        return load_config(self.toml)

    def snapshot(self) -> dict[str, tuple[str, int]]:
        """Every file and folder below: its content's hash (or link) and its permissions."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_symlink():
                content = f"-> {path.readlink()}"
            elif path.is_dir():
                content = "folder"
            else:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(self.root))] = (content, path.lstat().st_mode & 0o7777)
        return found


def make_host(root: Path, files: dict[str, str]) -> Host:
    etc, data, ours = root / "etc", root / "data", root / "ours"
    for folder in (etc, data, ours):
        folder.mkdir(parents=True)
    for name, text in files.items():
        (etc / name).write_bytes(text.encode())
    toml = ours / "callrec.toml"
    toml.write_text(
        f"[asterisk]\nconfig_dir = '{etc}'\ndata_dir = '{data}'\n"
        f"[recordings]\ndirectory = '{root}/spool'\n"
        f"[catalogue]\nurl = 'sqlite:///{root}/catalogue.db'\n"
    )
    return Host(etc, data, toml)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A plain Asterisk."""
    return make_host(
        tmp_path,
        {"manager.conf": MANAGER, "extensions.conf": EXTENSIONS, "features.conf": FEATURES},
    )


@pytest.fixture
def freepbx(tmp_path: Path) -> Host:
    """FreePBX: it writes the usual files itself and includes others for additions."""
    return make_host(
        tmp_path,
        {
            "manager.conf": "[general]\nenabled = yes\nbindaddr = 127.0.0.1\n\n"
            "#include manager_additional.conf\n#include manager_custom.conf\n",
            "manager_additional.conf": "",
            "manager_custom.conf": "",
            "extensions.conf": "[general]\n#include extensions_custom.conf\n[from-internal]\n",
            "extensions_custom.conf": "[from-internal-custom]\nexten => 1234,1,NoOp()",
            "features.conf": "[featuremap]\nblindxfer => ##\n\n[applicationmap]\n"
            "#include features_applicationmap_custom.conf\n",
            "features_applicationmap_custom.conf": "mine => *5,self,NoOp\r\n",
        },
    )
