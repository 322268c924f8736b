# shellcheck shell=bash disable=SC2154
# Freezer on a DevStack: which part runs in which phase. The parts are in lib/.
# SC2154: DevStack and settings set the variables that are used here and not assigned.

# shellcheck source=devstack/lib/freezer
source "$FREEZER_DIR/devstack/lib/freezer"
# shellcheck source=devstack/lib/elasticsearch
source "$FREEZER_DIR/devstack/lib/elasticsearch"

function freezer_plugin {
    local mode=$1 phase=$2
    FREEZER_BIN_DIR=$(get_python_exec_prefix)
    case $mode/$phase in
        stack/pre-install)
            check_freezer_settings
            if freezer_runs_elasticsearch; then
                install_freezer_elasticsearch
            fi
            ;;
        stack/install) install_freezer ;;
        stack/post-config)
            configure_freezer
            if is_service_enabled freezer-api && is_service_enabled keystone; then
                create_freezer_accounts
            fi
            ;;
        stack/extra)
            if freezer_runs_elasticsearch; then
                start_freezer_elasticsearch
            fi
            init_freezer
            start_freezer
            ;;
        unstack/*)
            stop_freezer
            stop_freezer_elasticsearch
            ;;
        clean/*)
            cleanup_freezer
            cleanup_freezer_elasticsearch
            ;;
    esac
}

freezer_plugin "$1" "${2:-}"
