# shellcheck shell=bash
# Sourced by demo.sh and test.sh: system packages, a Python, a virtualenv with this checkout in it.
#
# The caller defines `run_step`, the function that runs a command for it.

# The first Python that is new enough: $PYTHON, then what the machine calls python3.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    echo "Python 3.11 or newer was not found. Install it, or name it: PYTHON=/path/to/python3 $0" >&2
    return 1
}

# Debian ships venv without pip's wheel until python3-venv is there.
ensure_venv_module() {
    local python=$1 package
    "$python" -c 'import ensurepip, venv' 2> /dev/null && return 0
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if may_install_packages; then
        echo "Python's venv module is missing: installing $package"
        run_step apt_install "$package"
    else
        echo "Python's venv module is missing. Run this once, then try again:" >&2
        echo "    sudo apt-get install $package" >&2
        return 1
    fi
}

# From a table of "command package" lines: the packages whose command is not there, one a line.
missing_packages() {
    local command package
    while read -r command package; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$command" > /dev/null || echo "$package"
    done
}

may_install_packages() { [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; }

# The lock's time-out matters: without it a second apt on the machine makes this one fail at once.
apt_install() {
    local apt=(apt-get -o DPkg::Lock::Timeout=400 -o Acquire::Retries=3 -qq)
    without_service_starts "${apt[@]}" update \
        && without_service_starts "${apt[@]}" install -y --no-install-recommends "$@" > /dev/null
}

# again COMMAND...: a second try, a little later, for what a registry may have refused for a moment.
again() {
    "$@" && return
    echo "That failed; trying again: $*" >&2
    sleep 5
    "$@"
}

# Debian starts a service as soon as its package is installed, unless a certain file says no.
without_service_starts() (
    policy=/usr/sbin/policy-rc.d
    export DEBIAN_FRONTEND=noninteractive
    if may_install_packages && [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\nexit 101\n' > $policy && chmod 0755 $policy
    fi
    "$@"
)

# make_virtualenv CHECKOUT FOLDER EXTRAS: afterwards FOLDER/bin holds the console scripts of this checkout.
# Editable, so a changed source file needs no new installation; changed dependencies do.
make_virtualenv() {
    local checkout=$1 folder=$2 extras=$3 python wanted clear=()
    python=$(find_python) || return 1
    wanted="$extras $(cksum < "$checkout/setup.cfg") $(cksum < "$checkout/pyproject.toml") $checkout"
    if [ -x "$folder/bin/python" ] && [ "$(cat "$folder/.freezer" 2> /dev/null)" = "$wanted" ]; then
        return 0
    fi
    ensure_venv_module "$python" || return 1
    # One that an interrupt left half made is made anew; nobody else's folder is ever cleared.
    [ -e "$folder/.freezer-incomplete" ] && clear=(--clear)
    mkdir -p "$folder" && : > "$folder/.freezer-incomplete" || return 1
    run_step "$python" -m venv ${clear[@]+"${clear[@]}"} "$folder" || return 1
    : > "$folder/.freezer-incomplete"
    # A word that pip would otherwise say on every run.
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    again run_step "$folder/bin/pip" install --quiet --editable "${checkout}[$extras]" || return 1
    echo "$wanted" > "$folder/.freezer"
    rm "$folder/.freezer-incomplete"
}
