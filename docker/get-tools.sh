#!/usr/bin/env bash
# Installs the programs that the tests and the demo use, as far as they are missing.
# Usage: get-tools.sh [PROGRAM...]   (default: all of them). Progress goes to stderr.
set -euo pipefail

declare -rA PACKAGE=(
    [debootstrap]=debootstrap
    [ffmpeg]=ffmpeg
    [sipp]=sip-tester
    [flock]=util-linux
    [unshare]=util-linux
    [nsenter]=util-linux
    [setpriv]=util-linux
    [mount]=mount
    [postgres]=postgresql
    [venv]=python3-venv
)

PATH=$PATH:/usr/sbin:/sbin
say() { printf 'get-tools: %s\n' "$*" >&2; }
have() {
    case $1 in
    # Debian has Python without the part that makes virtual environments.
    venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    # Debian keeps it off the PATH, in a folder for each version.
    postgres) command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

[ $# -gt 0 ] || set -- "${!PACKAGE[@]}"
packages=()
for program; do
    [ -n "${PACKAGE[$program]:-}" ] || {
        say "unknown program $program; known: ${!PACKAGE[*]}"
        exit 2
    }
    have "$program" || packages+=("${PACKAGE[$program]}")
done
[ ${#packages[@]} -gt 0 ] || exit 0
mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)

say "missing: ${packages[*]}"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "install ${packages[*]} yourself, or run this as root on a Debian system"
    exit 1
fi
case " ${packages[*]} " in
*" postgresql "*)
    # The tests make servers of their own: the package is not to make one, and start it.
    no_cluster=/etc/postgresql-common/createcluster.d/callrec-tests.conf
    mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' >"$no_cluster"
    trap 'rm -f "$no_cluster"' EXIT
    ;;
esac
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >&2; }
# The lists at hand may be old or absent, so a failed first try is not the last word.
apt-cache show "${packages[@]}" >/dev/null 2>&1 && install && exit 0
apt-get update -q >&2 || say "apt-get update failed for some source; trying with what there is"
install || {
    say "apt could not install ${packages[*]}, see above"
    exit 1
}
