#!/usr/bin/env bash
# Install what the tests need and run them all. See --help.
set -u
checkout=$(cd "$(dirname "$0")/.." && pwd)
cd "$checkout" || exit 1
# shellcheck source=tools/installing.sh
. tools/installing.sh

venv=${FREEZER_VENV:-$checkout/.venv/test}
fast=false
suites=()
pytest_arguments=()

usage() {
    cat << 'HELP'
Usage: tools/test.sh [--fast] [--suite NAME]... [-- PYTEST ARGUMENTS]

Installs this checkout with everything its tests need into its own virtualenv (.venv/test, or
$FREEZER_VENV), then checks it: lint, format, types, import contracts, shell scripts, samples and
documents, and all tests. As root on Debian or Ubuntu it also installs the system packages that the
tests use, and a real Elasticsearch, which it starts and stops by itself on the loopback.

  --fast          lint, types and the unit tests only: no service, no system package
  --suite NAME    run an optional suite as well; may be repeated
  --help          this text

Optional suites:
  docs            build the manual and the API reference with Sphinx, warnings being errors
  hostile         at least 20,000 requests that Schemathesis makes up, to SQLite and to Elasticsearch
  slow            the tests that take more than ten seconds each
  faults          kill the agent at 200 random moments on each of three kinds of storage, and let
                  connections, servers and disks fail under it (FREEZER_FAULT_SEED, about an hour)
  former          backups made and restored by freezer 19.0.0 itself, on a disk and on a real Swift
  simulation      1,000 simulated machines with 10 jobs each for 30 days (about half an hour)
  sessions        200 runs of a session over three real schedulers that are killed and stopped
                  meanwhile, with wrong clocks, on Elasticsearch
  cluster         a cluster of three Elasticsearch nodes with TLS and API keys, of which some are
                  killed (needs a JDK, 2 GB of memory and some minutes)

Environment:
  FREEZER_VENV    the virtualenv to use
  PYTHON          the Python to make it with (3.11 or newer)
  CI=true         a default service that is missing is a failure, not a skip

Exit code: 0 if all that ran passed; 1 if something failed; 2 for a wrong argument.
HELP
}

while [ $# -gt 0 ]; do
    case $1 in
        --fast) fast=true ;;
        --suite)
            shift
            case ${1:-} in
                docs | hostile | slow | faults | former | cluster | simulation | sessions) suites+=("$1") ;;
                *)
                    echo "There is no suite '${1:-}'. Try: tools/test.sh --help" >&2
                    exit 2
                    ;;
            esac
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        --)
            shift
            pytest_arguments=("$@")
            break
            ;;
        *)
            echo "Unknown argument '$1'. Try: tools/test.sh --help" >&2
            exit 2
            ;;
    esac
    shift
done

wants() {
    local suite
    for suite in ${suites[@]+"${suites[@]}"}; do [ "$suite" = "$1" ] && return 0; done
    return 1
}

heading() { printf '\n== %s ==\n' "$1"; }

# What is left out, said when it is found and again at the very end.
skipped=()
skip() {
    skipped+=("$1")
    printf '\n!! SKIPPED: %s\n' "$1"
}

passed=()
failed=()
step() {
    local name=$1 started=$SECONDS
    shift
    heading "$name"
    if "$@"; then
        passed+=("$name ($((SECONDS - started)) s)")
    else
        failed+=("$name")
        printf '!! FAILED: %s\n' "$name"
    fi
}

run_step() { "$@"; }

install_system_packages() {
    local missing
    mapfile -t missing < <(missing_packages << 'TABLE'
setfattr attr
setfacl acl
zstd zstd
xz xz-utils
bzip2 bzip2
openssl openssl
mkfs.ext4 e2fsprogs
faketime faketime
java default-jre-headless
mvn maven
memcached memcached
sshd openssh-server
setpriv util-linux
TABLE
    )
    [ ${#missing[@]} = 0 ] && return
    if ! may_install_packages; then
        skip "the tests that need ${missing[*]}
   (only root on Debian may install them: sudo apt-get install ${missing[*]})"
        return
    fi
    echo "Installing ${missing[*]}"
    apt_install "${missing[@]}" \
        || skip "the tests that need ${missing[*]} (apt-get could not install them; see above)"
}

install_services() {
    again "$venv/bin/python" tests/services/elasticsearch.py install \
        || missing_service "the tests on a real Elasticsearch (it could not be installed; see above)"
    again without_service_starts "$venv/bin/python" -m tests.services.install \
        || missing_service "tests on real storage servers (not all could be installed; see above)"
    if wants slow; then
        "$venv/bin/python" -m tests.services.install freezer-tempest-plugin-3.5.0 \
            || missing_service "tests of the suite slow (tempest could not be installed; see above)"
    fi
    if wants cluster; then
        "$venv/bin/python" -m tests.services.install elasticsearch-cluster \
            || missing_service "the suite cluster (it could not be installed; see above)"
    fi
}

missing_service() {
    skip "$1"
    [ "${CI:-}" != true ] || failed+=("$1")
}

shell_scripts() {
    "$venv/bin/shellcheck" --external-sources tools/*.sh devstack/plugin.sh devstack/settings devstack/lib/* tests/unit/devstack/stand_ins.sh .ci/run
}

run_tests() {
    local arguments=(-q --durations=10) left_out="" mark
    # Then a default service that is missing fails its tests instead of skipping them.
    [ "${CI:-}" = true ] && export FREEZER_REQUIRE_SERVICES=1
    if $fast; then
        arguments+=(tests/unit -m "not service and not slow")
    else
        for mark in hostile slow faults former cluster simulation sessions; do
            wants "$mark" || left_out+="${left_out:+ and }not $mark"
        done
        arguments+=(-m "$left_out")
    fi
    "$venv/bin/python" -m pytest "${arguments[@]}" ${pytest_arguments[@]+"${pytest_arguments[@]}"}
}

build_documents() {
    "$venv/bin/pip" install --quiet --editable ".[docs]" || return 1
    "$venv/bin/sphinx-build" -W -q -b html doc/source doc/build/html \
        && "$venv/bin/sphinx-build" -W -q -b html api-ref/source api-ref/build/html \
        && "$venv/bin/reno" lint
}

heading "Virtualenv $venv"
make_virtualenv "$checkout" "$venv" all,test || exit 1
if $fast; then
    skip "services and system packages (--fast)"
else
    heading "System packages and services"
    install_system_packages
    install_services
fi

step "ruff check" "$venv/bin/ruff" check --output-format concise .
step "ruff format" "$venv/bin/ruff" format --check .
step "mypy" "$venv/bin/mypy"
step "import contracts" "$venv/bin/lint-imports" --no-logo
step "shellcheck" shell_scripts
step "tests" run_tests
if wants docs; then step "documents" build_documents; fi

heading "Summary"
for line in ${passed[@]+"${passed[@]}"}; do echo "passed   $line"; done
for line in ${skipped[@]+"${skipped[@]}"}; do echo "SKIPPED  $line"; done
for line in ${failed[@]+"${failed[@]}"}; do echo "FAILED   $line"; done
echo "$SECONDS s in all"
[ ${#failed[@]} = 0 ]
