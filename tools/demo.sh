#!/usr/bin/env bash
# A backup goes round, for real, on this machine: API, scheduler and agent. See --help.
# shellcheck disable=SC2329  # functions are called by name, through run_step, show, poll and trap
set -u
tools=$(cd "$(dirname "$0")" && pwd)
checkout=$(dirname "$tools")
# shellcheck source=tools/installing.sh
. "$tools/installing.sh"

venv=${FREEZER_VENV:-$checkout/.venv/demo}
source_folder=
keep=false
backend=sql

usage() {
    cat << 'HELP'
Usage: tools/demo.sh [DIR] [--keep] [--backend sql|elasticsearch]

Shows Freezer at work on a copy of DIR (default: this checkout): starts the API and a scheduler on
the loopback, creates a job, waits for its full backup, changes the copy, lets a second run make an
incremental one, restores both and compares them with what the files were then. Nothing of yours is
touched: everything happens in one scratch folder, which is removed at the end.

  --keep              leave the API and the scheduler running and tell how to talk to them
  --backend NAME      where the API keeps its documents: sql (an SQLite file, the default) or
                      elasticsearch (one is installed and started; needs Java and Maven)
  --help              this text

Environment:
  FREEZER_VENV        the virtualenv to install into (default: .venv/demo of this checkout)
  PYTHON              the Python to make it with (3.11 or newer)
  TMPDIR              where the scratch folder is made

Exit code: 0 if everything came back as it was; 1 if not; 2 for a wrong argument; 130 interrupted.
HELP
}

wrong_argument() {
    echo "$1. Try: tools/demo.sh --help" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --keep) keep=true ;;
        --backend=*) backend=${1#*=} ;;
        --backend)
            [ $# -gt 1 ] || wrong_argument "--backend needs a name"
            shift
            backend=$1
            ;;
        --help | -h)
            usage
            exit 0
            ;;
        -*) wrong_argument "Unknown option '$1'" ;;
        *)
            [ -z "$source_folder" ] || wrong_argument "One folder at a time: '$source_folder' or '$1'"
            source_folder=$1
            ;;
    esac
    shift
done
case $backend in
    sql | elasticsearch) ;;
    *) wrong_argument "There is no backend '$backend'" ;;
esac
source_folder=${source_folder:-$checkout}
[ -d "$source_folder" ] || wrong_argument "'$source_folder' is not a folder"
source_folder=$(cd "$source_folder" && pwd -P) || exit 2

# --- what is started, and how it ends ---------------------------------------------------------

scratch=$(mktemp -d "${TMPDIR:-/tmp}/freezer-demo.XXXXXX") || exit 1
# Whatever is started from here carries the scratch folder's name in its environment, so that it is
# found again even if it changed its process group or lost its parent.
export FREEZER_DEMO_SCRATCH=$scratch
# Started by root it runs as another user, who must not see into the scratch folder.
elasticsearch=
if [ "$backend" = elasticsearch ]; then
    elasticsearch=$(mktemp -d "${TMPDIR:-/tmp}/freezer-demo-elasticsearch.XXXXXX") || exit 1
fi

started_processes() {
    jobs -pr
    # Not the tools of the search themselves.
    export -n FREEZER_DEMO_SCRATCH
    # Elasticsearch has a clean environment, whose HOME is its folder.
    grep -lzsxF -e "FREEZER_DEMO_SCRATCH=$scratch" -e "HOME=${elasticsearch:-$scratch}" /proc/[0-9]*/environ | tr -dc '0-9\n'
}

# First those that were started here, which end their own children; after three seconds everything
# that is left; after ten without asking.
end_processes() {
    local pids tries=0 signal=TERM
    mapfile -t pids < <(jobs -pr)
    while :; do
        [ ${#pids[@]} = 0 ] || kill -"$signal" "${pids[@]}"
        while :; do
            mapfile -t pids < <(started_processes)
            [ ${#pids[@]} = 0 ] && return
            sleep 0.1
            case $((++tries)) in 30) break ;; 100) signal=KILL && break ;; 150) return ;; esac
        done
    done
}

finish() {
    local status=$?
    trap '' INT TERM HUP
    if [ "$keep" = true ] && [ "$status" = 0 ]; then
        exit 0
    fi
    case $status in 0 | 129 | 130 | 143) ;; *) tell_logs ;; esac
    # Bash would tell of each process that a signal ended.
    end_processes 2> /dev/null
    chmod -R u+rwX "$scratch" 2> /dev/null
    rm -rf "$scratch" ${elasticsearch:+"$elasticsearch"}
    exit "$status"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# In the background and waited for: only so does a signal reach this script at once. Without job
# control such a command ignores Ctrl-C, and end_processes ends it.
run_step() {
    "$@" < /dev/null &
    wait $!
}

# --- how it is told ---------------------------------------------------------------------------

heading() { printf '\n== %s ==\n' "$1"; }

# A command as the reader could type it.
say_command() {
    local word line=
    for word in "$@"; do
        case $word in '&') ;; *[!A-Za-z0-9_./:=@%+,-]* | '') printf -v word '%q' "$word" ;; esac
        line+=" $word"
    done
    printf '$%s\n' "${line//"$scratch"/\$DEMO}"
}

show() {
    say_command "$@"
    run_step "$@" || stop "that command ended with exit code $?"
}

stop() {
    printf '\nThe demo stops here: %s\n' "$1" >&2
    exit 1
}

tell_logs() {
    local log
    for log in "$elasticsearch/out.log" "$scratch"/{api,scheduler,agent}.log; do
        [ -s "$log" ] || continue
        printf '\n-- the end of %s --\n' "$log" >&2
        tail -n 15 "$log" >&2
    done
}

# What runs in the background, for poll and for the last words.
api=
scheduler=

# poll SECONDS WHAT COMMAND...: until the command succeeds, while both programs live.
poll() {
    local limit=$((SECONDS + $1)) what=$2
    shift 2
    until run_step "$@"; do
        [ -z "$api" ] || kill -0 "$api" 2> /dev/null || stop "freezer-api has ended"
        [ -z "$scheduler" ] || kill -0 "$scheduler" 2> /dev/null \
            || stop "freezer-scheduler has ended"
        [ "$SECONDS" -lt "$limit" ] || stop "$what did not come within the time"
        run_step sleep 0.3
    done
}

# --- the steps --------------------------------------------------------------------------------

install_freezer() {
    local extras=api,agent,scheduler
    [ "$backend" = sql ] || extras+=,elasticsearch
    heading "Installing Freezer into $venv"
    make_virtualenv "$checkout" "$venv" "$extras" || stop "the installation failed"
    PATH=$venv/bin:$PATH
    # Locks and the like of the programs belong to the demo too.
    export HOME=$scratch/home
    mkdir "$HOME"
    # A proxy of this machine is for the way out: what is started here is asked without it.
    export no_proxy="127.0.0.1,localhost,${no_proxy:-${NO_PROXY:-}}"
    export NO_PROXY=$no_proxy
    echo "$(freezer-agent --version 2>&1 | tail -n 1) is there"
}

copy_source() {
    tree=$scratch/tree
    heading "A copy of $source_folder to work on"
    echo "DEMO=$scratch"
    mkdir "$tree"
    # A folder may hold what this user cannot read; the rest is worth a demo.
    run_step copy_tree || echo "(some files could not be copied; the demo goes on without them)"
    echo "$(find "$tree" -type f -printf x | wc -c) files, $(du -sh "$tree" | cut -f 1)"
}

copy_tree() {
    local leave_out=(--exclude=./.venv --exclude=./.tox --exclude=./.mypy_cache)
    case $scratch/ in "$source_folder"/*) leave_out+=(--exclude=".${scratch#"$source_folder"}") ;; esac
    set -o pipefail
    tar -C "$source_folder" "${leave_out[@]}" --xattrs --format=posix -cf - . \
        | tar -C "$tree" --xattrs -xpf -
}

start_elasticsearch() {
    local service=("$venv/bin/python" "$checkout/tests/services/elasticsearch.py")
    heading "Elasticsearch"
    install_java_and_maven
    run_step "${service[@]}" install || stop "Elasticsearch could not be installed"
    echo "Starting one node; that takes half a minute"
    run_step "${service[@]}" start "$elasticsearch" > "$scratch/elasticsearch.url" \
        || stop "Elasticsearch did not start"
    echo "It answers on $(cat "$scratch/elasticsearch.url")"
}

install_java_and_maven() {
    local missing
    mapfile -t missing < <(printf 'java default-jre-headless\nmvn maven\n' | missing_packages)
    [ ${#missing[@]} = 0 ] && return
    may_install_packages || stop "it needs: sudo apt-get install ${missing[*]}"
    echo "Installing ${missing[*]}"
    run_step apt_install "${missing[@]}" || stop "apt-get could not install ${missing[*]}"
}

free_port() {
    "$venv/bin/python" -c '
import socket
with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1])'
}

write_api_configuration() {
    port=$(free_port)
    {
        printf '[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = %s\nauth_strategy = noauth\n' "$port"
        printf '\n[storage]\nbackend = %s\n' "$backend"
        if [ "$backend" = sql ]; then
            printf '\n[sql]\nconnection = sqlite:///%s/freezer.sqlite\n' "$scratch"
        else
            printf '\n[elasticsearch]\nhosts = %s\n' "$(cat "$scratch/elasticsearch.url")"
        fi
    } > "$scratch/freezer-api.conf"
}

start_api() {
    heading "The API, which keeps its documents in $backend"
    write_api_configuration
    say_command cat "$scratch/freezer-api.conf"
    cat "$scratch/freezer-api.conf"
    show freezer-manage --config-file "$scratch/freezer-api.conf" db sync
    say_command freezer-api --config-file "$scratch/freezer-api.conf" '&'
    freezer-api --config-file "$scratch/freezer-api.conf" < /dev/null > "$scratch/api.log" 2>&1 &
    api=$!
    poll 60 "an answer of the API" api_answers
    echo "It answers on http://127.0.0.1:$port"
}

api_answers() {
    "$venv/bin/python" -c '
import sys, urllib.request
try:
    urllib.request.urlopen(sys.argv[1] + "/healthcheck", timeout=2)
except OSError:
    sys.exit(1)' "http://127.0.0.1:$port"
}

start_scheduler() {
    heading "A scheduler on this node, demo-node"
    export OS_AUTH_TYPE=none OS_BACKUP_URL=http://127.0.0.1:$port OS_PROJECT_ID=demo
    echo "\$ export OS_AUTH_TYPE=none OS_BACKUP_URL=$OS_BACKUP_URL OS_PROJECT_ID=$OS_PROJECT_ID"
    mkdir "$scratch/jobs" "$scratch/state"
    say_command freezer-scheduler --no-daemon -c demo-node -i 2 -f "$scratch/jobs" --state-dir "$scratch/state" start '&'
    freezer-scheduler --no-daemon -c demo-node -i 2 -f "$scratch/jobs" --state-dir "$scratch/state" start \
        < /dev/null > "$scratch/scheduler.log" 2>&1 &
    scheduler=$!
    poll 60 "the registration of the scheduler" scheduler_is_known
    echo "The API knows it"
}

scheduler_is_known() {
    freezer-scheduler -c demo-node client-get > /dev/null 2>&1
}

create_job() {
    heading "A job: back up the copy into a folder"
    cat > "$scratch/job.json" << JSON
{
  "job_actions": [
    {
      "freezer_action": {
        "action": "backup",
        "mode": "fs",
        "backup_name": "demo",
        "path_to_backup": "$tree",
        "storage": "local",
        "container": "$scratch/backups",
        "max_level": 3,
        "log_file": "$scratch/agent.log"
      },
      "max_retries": 1,
      "max_retries_interval": 2
    }
  ],
  "job_schedule": {},
  "description": "demo job"
}
JSON
    say_command cat "$scratch/job.json"
    cat "$scratch/job.json"
    remember 0
    watch_logs
    show freezer-scheduler -c demo-node job-create --file "$scratch/job.json"
    show freezer-scheduler -c demo-node job-list
    job_id=$(ask job-list '; print(answer[0]["job_id"])')
    [ -n "$job_id" ] || stop "the job is not in the list"
}

# The one job, as "TIME_STARTED STATUS RESULT".
job_state() {
    ask job-list '
schedule = answer[0]["job_schedule"]
print(schedule["time_started"], schedule.get("status") or "-", schedule.get("result") or "-")'
}

# ask COMMAND PYTHON: run the client command and the Python on its answer. Left alone by Ctrl-C,
# which is for this script.
ask() (
    trap '' INT
    freezer-scheduler -c demo-node "$1" --json \
        | "$venv/bin/python" -c "import json, sys; answer = json.load(sys.stdin)$2" 2> /dev/null
)

# Whether the job has ended a run that began after the instant $1.
run_is_over() {
    local started status result
    read -r started status result < <(job_state)
    [ "${started:-0}" -gt "$1" ] && [ "$status" = completed ] && [ "$result" != - ]
}

# What the programs say while a job runs, line by line as they say it.
watch_logs() {
    tail -q -n 0 -F "$scratch/scheduler.log" "$scratch/agent.log" 2> /dev/null \
        > >(sed -u -E 's/^(.{150}).*/\1.../; s/^/  | /') &
    watcher=$!
}

await_success() {
    local result
    poll 300 "the end of the job" run_is_over "$last_start"
    kill "$watcher"
    show freezer-scheduler -c demo-node job-list
    read -r last_start _ result < <(job_state)
    [ "$result" = success ] || stop "the job ended with '$result'"
}

run_first() {
    heading "The scheduler takes the job and runs the agent: a full backup, level 0"
    last_start=-1
    await_success
}

change_copy() {
    local victim
    heading "The copy changes"
    # Extended attributes and ACLs want their own tools; modes, links and odd names do not.
    victim=$(find "$tree" -type f -writable -print -quit)
    if [ -n "$victim" ]; then
        echo "a line more" >> "$victim"
        echo "changed    ${victim#"$tree"/}"
    fi
    victim=$(find "$tree" -type f ! -path "$victim" -print -quit)
    if [ -n "$victim" ]; then
        rm -f "$victim"
        echo "removed    ${victim#"$tree"/}"
    fi
    mkdir "$tree/new folder"
    echo "new" > "$tree/new folder/a file"
    chmod 0640 "$tree/new folder/a file"
    touch -d '2001-02-03 04:05:06.789' "$tree/new folder/a file"
    ln "$tree/new folder/a file" "$tree/new folder/a hard link"
    ln -s "a file" "$tree/new folder/a symbolic link"
    : > "$tree/new folder/"$'a name of\ntwo lines'
    truncate -s 64M "$tree/new folder/a sparse file"
    echo "added      new folder/ with hard and symbolic links, a sparse file, a name of two lines"
    remember 1
}

# What the copy is now, to compare with later.
remember() {
    run_step "$venv/bin/python" "$tools/compare_trees.py" --write "$scratch/then-$1.json" "$tree" \
        || stop "the copy could not be read"
}

run_second() {
    heading "A second run: level 1, only what changed"
    watch_logs
    show freezer-scheduler -c demo-node job-start -j "$job_id"
    await_success
}

restore_both() {
    local first
    heading "Restore the latest"
    restore "$scratch/restored-latest"
    compare 1 "$scratch/restored-latest"

    heading "Restore the first, by its date"
    first=$(ask backup-list '
taken = min(int(backup["backup_metadata"]["time_stamp"]) for backup in answer)
import time
print(time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(taken)))')
    [ -n "$first" ] || stop "the API knows of no backup"
    restore "$scratch/restored-first" --restore-from-date "$first"
    compare 0 "$scratch/restored-first"
}

restore() {
    local target=$1
    shift
    show freezer-agent --action restore --storage local --container "$scratch/backups" \
        --backup-name demo --restore-abs-path "$target" "$@"
}

# compare RUN FOLDER: the verdict counts for the exit code, the demo goes on.
compare() {
    run_step "$venv/bin/python" "$tools/compare_trees.py" "$scratch/then-$1.json" "$2" && return
    echo "!! the restored tree is not what it was"
    verdict=1
}

list_backups() {
    heading "The backups that the API knows"
    show freezer-scheduler -c demo-node backup-list
}

tell_how_to_talk() {
    cat > "$scratch/demorc" << RC
export PATH=$venv/bin:\$PATH
export OS_AUTH_TYPE=none OS_BACKUP_URL=$OS_BACKUP_URL OS_PROJECT_ID=$OS_PROJECT_ID
RC
    local stop_elasticsearch=
    [ -z "$elasticsearch" ] \
        || stop_elasticsearch=" && $venv/bin/python $checkout/tests/services/elasticsearch.py stop $elasticsearch"
    heading "Left running"
    cat << TEXT
Talk to it:
    . $scratch/demorc
    freezer-scheduler -c demo-node job-list
    freezer-scheduler -c demo-node job-start -j $job_id
    freezer-agent --action info --storage local --container $scratch/backups -l
    curl $OS_BACKUP_URL/v2/demo/backups
Logs:
    tail -f $scratch/api.log $scratch/scheduler.log $scratch/agent.log
End it:
    kill $scheduler $api$stop_elasticsearch && rm -rf $scratch $elasticsearch
TEXT
}

install_freezer
copy_source
begun=$SECONDS
verdict=0
[ "$backend" = sql ] || start_elasticsearch
start_api
start_scheduler
create_job
run_first
change_copy
run_second
restore_both
list_backups
heading "Done in $((SECONDS - begun)) s"
[ "$verdict" = 0 ] && echo "Both restores are what the copy was at their time." \
    || echo "A restore differs; see above." >&2
[ "$keep" = true ] && [ "$verdict" = 0 ] && tell_how_to_talk
exit "$verdict"
