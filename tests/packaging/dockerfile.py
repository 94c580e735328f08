"""Carries the steps of a Dockerfile out in a Debian root that is there already, without an engine.

Only what docker/Dockerfile uses is understood; anything else is an error. A stage is a chain of
overlay folders, as an engine's layers are; what a step writes never reaches the root itself.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOUNT = """
set -eu
lower=$1 upper=$2 work=$3 root=$4 binds=$5; shift 5
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
printf '%s' "$binds" | while read -r from to; do
    if [ -d "$from" ]; then mkdir -p "$root$to"; else mkdir -p "$root${to%/*}"; : >>"$root$to"; fi
    mount --bind "$from" "$root$to"
done
exec chroot "$root" "$@"
"""
"""Run in a mount namespace of its own, so that nothing stays mounted."""

OF_THE_MACHINE = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssl",
    "/etc/apt/apt.conf.d",
    "/etc/pip.conf",
    "~/.config/pip/pip.conf",
    "~/.pip/pip.conf",
)
"""What says how this machine reaches its package archives; an engine brings its own."""


class UnknownStepError(ValueError):
    """The Dockerfile has a step that this module does not understand; teach it that step."""


@dataclass
class Stage:
    """One stage of the Dockerfile.

    Attributes:
        layers: Folders of its files above the root, lowest first.
        user: Whom its command runs as.
        command: What a container of it runs.
    """

    name: str
    layers: list[Path]
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    command: list[str] = field(default_factory=list)


@dataclass
class Builder:
    """Builds stages.

    Attributes:
        root: The Debian root that takes the place of `FROM debian`.
        folder: Where the layers are made.
        context: The checkout.
        cache: Folder that keeps what pip has fetched, and the stages that are to be kept.
    """

    root: Path
    folder: Path
    context: Path
    cache: Path
    stages: dict[str, Stage] = field(default_factory=dict)

    def build(self, dockerfile: Path, keep: str) -> dict[str, Stage]:
        """Carry out all steps; return the stages by name.

        Args:
            dockerfile: The file.
            keep: Name of the stage to keep in the cache for the next time.
        """
        for base, name, own in stages(dockerfile.read_text()):
            parent = self.stages.get(base) or Stage("", [])
            stage = Stage(name, [*parent.layers], dict(parent.environment), parent.user)
            self.stages[name] = stage
            if name != keep:
                self._build(stage, self.folder / name, own)
                continue
            kept = self.cache / f"{name}-{self._digest(own)}"
            if not kept.is_dir():
                for old in self.cache.glob(f"{name}-*"):
                    shutil.rmtree(old)
                self._build(stage, kept.with_name(f"{name}-partial"), own)
                kept.with_name(f"{name}-partial").rename(kept)
            else:
                for word, rest in own:
                    self._set(stage, word, rest)
            stage.layers = [*parent.layers, kept / "files"]
        return self.stages

    def _digest(self, own: list[tuple[str, str]]) -> str:
        """Hash what a stage depends on."""
        digest = hashlib.sha256(f"{self.root} {self.root.stat().st_mtime_ns} {own}".encode())
        for word, rest in own:
            for source in rest.split()[:-1] if word == "COPY" else []:
                for path in sorted((self.context / source).rglob("*")):
                    digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest()[:12]

    def _build(self, stage: Stage, folder: Path, own: list[tuple[str, str]]) -> None:
        (folder / "files").mkdir(parents=True)
        stage.layers.append(folder / "files")
        for word, rest in own:
            if word == "RUN":
                self.run(stage, ["sh", "-c", rest])
            elif word == "COPY":
                self._copy(stage, rest.split())
            else:
                self._set(stage, word, rest)

    @staticmethod
    def _set(stage: Stage, word: str, rest: str) -> None:
        """Note what a step says without changing a file."""
        if word == "ENV":
            pairs = (item.partition("=") for item in shlex.split(rest))
            stage.environment.update({name: value for name, _, value in pairs})
        elif word == "USER":
            stage.user = rest
        elif word == "CMD":
            stage.command = json.loads(rest)
        elif word not in {"RUN", "COPY", "EXPOSE", "HEALTHCHECK"}:
            raise UnknownStepError(f"{word} {rest}")

    def _copy(self, stage: Stage, words: list[str]) -> None:
        layers = [self.context]
        if words[0].startswith("--from="):
            layers = self.stages[words.pop(0).removeprefix("--from=")].layers
        *sources, target = words
        into = stage.layers[-1] / target.lstrip("/")
        for source in sources:
            for layer in layers:
                place = layer / source.lstrip("/")
                if place.is_dir():
                    ignore = shutil.ignore_patterns("__pycache__", ".*_cache")
                    shutil.copytree(place, into, symlinks=True, dirs_exist_ok=True, ignore=ignore)
                elif place.exists():
                    into.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(place, into / place.name if target.endswith("/") else into)

    def command(
        self,
        stage: Stage,
        command: list[str],
        *,
        user: str = "root",
        environment: dict[str, str] | None = None,
        binds: dict[str, str] | None = None,
    ) -> list[str]:
        """Return the command line that runs `command` in that stage.

        Args:
            stage: The stage; what is written goes to its last layer.
            command: The command, as seen inside.
            user: Whom it runs as.
            environment: Variables beside those of the stage.
            binds: Folders and files of this machine by their path inside.
        """
        layer = stage.layers[-1]
        work, mounted = layer.with_name("work"), layer.with_name("root")
        work.mkdir(exist_ok=True)
        mounted.mkdir(exist_ok=True)
        lower = ":".join(str(path) for path in [*reversed(stage.layers[:-1]), self.root])
        told = "".join(f"{source} {target}\n" for target, source in (binds or {}).items())
        variables = {**stage.environment, **(environment or {})}
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", MOUNT, "mount-stage"),
            *(lower, str(layer), str(work), str(mounted), told),
            *("env", *(f"{name}={value}" for name, value in variables.items())),
            *([] if user == "root" else as_user),
            *command,
        ]

    def run(self, stage: Stage, command: list[str]) -> None:
        """Run a build step, which may reach the package archives as this machine does.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        known = (Path(path).expanduser() for path in OF_THE_MACHINE)
        binds = {str(path): str(path) for path in known if path.exists()}
        binds["/var/cache/downloads"] = str(self.cache)
        environment = {"PIP_CACHE_DIR": "/var/cache/downloads/pip"}
        line = self.command(stage, command, environment=environment, binds=binds)
        # Not stdin, which a package's questions would wait for.
        subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def stages(text: str) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Split a Dockerfile into its stages: base, name, steps."""
    found: list[tuple[str, str, list[tuple[str, str]]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, said, name = rest.split()
            if said != "AS":
                raise UnknownStepError(line)
            found.append((base, name, []))
        elif word and not word.startswith("#"):
            found[-1][2].append((word, rest.strip()))
    yield from found
