# Stand-ins for the functions of DevStack that the plugin calls: each records its call, one line of
# words, and does as much of its work as the plugin's other steps need.
# shellcheck shell=bash disable=SC2034

record() { printf '%s\n' "$*" >> "$RECORD"; }

for name in define_plugin pip_install install_apache_uwsgi create_service_user \
    get_or_add_user_project_role get_or_create_service get_or_create_endpoint run_process \
    stop_process recreate_database remove_uwsgi_config; do
    eval "function $name { record $name \"\$@\"; }"
done

enable_service() {
    record enable_service "$@"
    ENABLED+=" $*"
}

# As DevStack has it: true if any of the names is enabled.
is_service_enabled() {
    local name
    for name in "$@"; do
        if [[ " $ENABLED " == *" $name "* ]]; then return 0; fi
    done
    return 1
}

trueorfalse() {
    case ${!2:-$1} in
        True | true | 1 | yes) echo True ;;
        *) echo False ;;
    esac
}

# The real one edits the file; of a name that occurs twice, the last counts for its readers too.
iniset() {
    record iniset "$@"
    printf '[%s]\n%s = %s\n' "$2" "$3" "$4" >> "$1"
}

write_uwsgi_config() {
    record write_uwsgi_config "$@"
    printf '[uwsgi]\nmodule = %s\n' "$2" > "$1"
}

configure_keystone_authtoken_middleware() {
    record configure_keystone_authtoken_middleware "$@"
    iniset "$1" keystone_authtoken username "$2"
}

database_connection_url() { echo "mysql+pymysql://root:secret@127.0.0.1/$1?charset=utf8"; }
get_python_exec_prefix() { echo "$PROGRAMS"; }

# The archive that the test made in place of the one of the network.
get_extra_file() {
    record get_extra_file "$@"
    echo "$DOWNLOADS/$(basename "$1")"
}

wait_for_service() {
    record wait_for_service "$@"
    [[ ${NOTHING_STARTS:-} != true ]]
}

# install -o wants a user of the operating system; the test is run by any.
sudo() {
    record sudo "$@"
    "$@"
}

die() {
    shift
    printf 'die: %s\n' "$*" >&2
    exit 1
}
