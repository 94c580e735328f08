#!/usr/bin/env bash
# Finds an Asterisk for the tests and the demo, or gets one, in this order:
#   1. `asterisk` on the PATH;
#   2. the distribution's package;
#   3. Debian's next release, in a private root in the cache folder, so that clean
#      checkouts share it and the machine itself is not changed.
# Progress goes to stderr. On stdout, to be read by a shell:
#   ASTERISK_ROOT=     folder to chroot into; empty when Asterisk is on this machine itself
#   ASTERISK_BIN=      the program, as seen inside the root
#   ASTERISK_MODULES=  its module folder, as seen inside the root
set -euo pipefail

readonly RELEASE=forky # the first Debian release after 11 that carries Asterisk
readonly CACHE=${CALLREC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/callrec-pbx}
readonly ROOT=$CACHE/asterisk-root

say() { printf 'get-asterisk: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "$1 needs root: run this as root, or install Asterisk yourself so that \`asterisk\` is on the PATH"
}

report() { # root, program
    local modules
    modules=$(find "$1/usr/lib" "$1/usr/lib64" "$1/usr/local/lib" -type d -path '*/asterisk/modules' \
        -print -quit 2>/dev/null) || true
    [ -n "$modules" ] || die "no Asterisk module folder below ${1:-}/usr: the installation of $2 is not complete"
    printf 'ASTERISK_ROOT=%q\nASTERISK_BIN=%q\nASTERISK_MODULES=%q\n' "$1" "$2" "${modules#"$1"}"
    exit 0
}

native() {
    local program
    program=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v asterisk) || return 0
    say "using $program ($("$program" -V))"
    report "" "$program"
}

candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}'; }

install_package() {
    local policy=/usr/sbin/policy-rc.d made=
    say "installing the distribution's asterisk $(candidate asterisk)"
    # The tests start Asterisks of their own; the package's service stays off.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made=yes
    fi
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -q asterisk asterisk-core-sounds-en >&2; then
        [ -z "$made" ] || rm -f "$policy"
        die "apt-get install asterisk failed, see above"
    fi
    [ -z "$made" ] || rm -f "$policy"
}

# The Debian archive this machine installs from, out of its own apt sources (both formats).
mirror() {
    local files=()
    shopt -s nullglob
    files=(/etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list)
    shopt -u nullglob
    [ ${#files[@]} -gt 0 ] || return 0
    cat "${files[@]}" 2>/dev/null | sed 's/#.*//' |
        grep -Eo '(^|[[:space:]])(https?|ftp|file)://?[^][:space:]]+' |
        tr -d ' \t' | sed 's,/*$,,' | grep -v security | grep -m 1 -E '/debian$' || true
}

build_root() {
    local partial=$ROOT.partial from proxy=
    from=$(mirror)
    [ -n "$from" ] || die "no Debian archive (a URI ending in /debian) in /etc/apt/sources.list*: add one, or install Asterisk yourself"
    "$(dirname "$0")"/get-tools.sh debootstrap
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || export http_proxy=${http_proxy:-$proxy}
    rm -rf --one-file-system "$partial"
    say "building a root with Debian $RELEASE's Asterisk in $ROOT (once, about a minute, 600 MB)"
    # In a mount namespace of its own, so that an interrupted build leaves no mount behind.
    # The last word names debootstrap's script: older debootstraps have none for this release.
    if ! unshare --mount debootstrap --variant=minbase \
        --include=ca-certificates,asterisk,asterisk-core-sounds-en-wav \
        "$RELEASE" "$partial" "$from" sid >"$CACHE/debootstrap.log" 2>&1; then
        tail -n 15 "$CACHE/debootstrap.log" "$partial/debootstrap/debootstrap.log" >&2 2>/dev/null || true
        die "debootstrap failed (log: $CACHE/debootstrap.log); check the network and the disk, then run this again"
    fi
    chroot "$partial" asterisk -V >/dev/null || die "the Asterisk built in $partial does not run"
    rm -rf "$partial"/var/cache/apt/archives/*.deb "$partial"/var/lib/apt/lists/*
    mv "$partial" "$ROOT"
    say "ready: $(chroot "$ROOT" asterisk -V)"
}

native
need_root "installing Asterisk"
if [ ! -x "$ROOT/usr/sbin/asterisk" ]; then
    command -v apt-get >/dev/null || die "no asterisk on the PATH and no apt here: install Asterisk yourself"
    # Without package lists apt knows no candidate for anything.
    [ -n "$(candidate debootstrap)" ] || apt-get update -q >&2 || say "apt-get update failed for some source; trying with what there is"
    if [ -n "$(candidate asterisk)" ]; then
        install_package
        native
    fi
    mkdir -p "$CACHE"
    exec 9>"$ROOT.lock"
    flock -n 9 || { say "another run is building $ROOT; waiting for it" && flock 9; }
    [ -x "$ROOT/usr/sbin/asterisk" ] || build_root
    exec 9>&-
fi
say "using the Asterisk in $ROOT"
report "$ROOT" /usr/sbin/asterisk
