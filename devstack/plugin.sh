# shellcheck shell=bash disable=SC2154
# Freezer on a DevStack: API and scheduler, with their entries in Keystone.
# SC2154: DevStack sets the variables that are used here and not assigned.

# Only the parts that run here, each with its own dependencies.
function install_freezer {
    local extras=agent,scheduler,swift
    if is_service_enabled freezer-api; then
        extras+=,api
        if [[ $FREEZER_BACKEND == elasticsearch ]]; then
            extras+=,elasticsearch
        fi
    fi
    pip_install -e "${FREEZER_DIR}[$extras]"
}

function configure_freezer {
    sudo install -d -o "$STACK_USER" -m 0750 "$FREEZER_CONF_DIR"
    sudo install -d -o "$STACK_USER" -m 0700 "$FREEZER_STATE_DIR"
    if is_service_enabled freezer-api; then
        configure_freezer_api
    fi
    if is_service_enabled freezer-scheduler; then
        configure_freezer_scheduler
    fi
}

function configure_freezer_api {
    install -m 0600 /dev/null "$FREEZER_API_CONF"
    iniset "$FREEZER_API_CONF" DEFAULT bind_host "$SERVICE_LISTEN_ADDRESS"
    iniset "$FREEZER_API_CONF" DEFAULT bind_port "$FREEZER_API_PORT"
    iniset "$FREEZER_API_CONF" DEFAULT auth_strategy keystone
    iniset "$FREEZER_API_CONF" DEFAULT debug "$ENABLE_DEBUG_LOG_LEVEL"
    iniset "$FREEZER_API_CONF" storage backend "$FREEZER_BACKEND"
    if [[ $FREEZER_BACKEND == elasticsearch ]]; then
        iniset "$FREEZER_API_CONF" elasticsearch hosts "$FREEZER_ELASTICSEARCH_HOSTS"
    else
        iniset "$FREEZER_API_CONF" sql connection "$FREEZER_SQL_CONNECTION"
    fi
    configure_keystone_authtoken_middleware "$FREEZER_API_CONF" freezer
}

function configure_freezer_scheduler {
    install -m 0600 /dev/null "$FREEZER_SCHEDULER_CONF"
    iniset "$FREEZER_SCHEDULER_CONF" scheduler client_id "$FREEZER_CLIENT_ID"
    iniset "$FREEZER_SCHEDULER_CONF" scheduler interval "$FREEZER_SCHEDULER_INTERVAL"
    iniset "$FREEZER_SCHEDULER_CONF" scheduler jobs_dir "$FREEZER_STATE_DIR/jobs"
    iniset "$FREEZER_SCHEDULER_CONF" service_auth os_auth_url "$KEYSTONE_SERVICE_URI"
    iniset "$FREEZER_SCHEDULER_CONF" service_auth os_username freezer
    iniset "$FREEZER_SCHEDULER_CONF" service_auth os_password "$SERVICE_PASSWORD"
    iniset "$FREEZER_SCHEDULER_CONF" service_auth os_project_name "$SERVICE_PROJECT_NAME"
    iniset "$FREEZER_SCHEDULER_CONF" service_auth os_user_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$FREEZER_SCHEDULER_CONF" service_auth os_project_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$FREEZER_SCHEDULER_CONF" service_auth os_region_name "$REGION_NAME"
    install -d -m 0700 "$FREEZER_STATE_DIR/jobs"
}

# The type by which clients find the service in the catalogue.
function create_freezer_accounts {
    create_service_user freezer admin
    get_or_create_service freezer backup "Freezer Backup Service"
    get_or_create_endpoint backup "$REGION_NAME" "$FREEZER_API_URL" "$FREEZER_API_URL" \
        "$FREEZER_API_URL"
}

function init_freezer {
    if is_service_enabled freezer-api; then
        "$FREEZER_BIN_DIR/freezer-manage" --config-file "$FREEZER_API_CONF" db sync
    fi
}

function start_freezer {
    if is_service_enabled freezer-api; then
        run_process freezer-api "$FREEZER_BIN_DIR/freezer-api --config-file $FREEZER_API_CONF"
        if ! wait_for_service "$SERVICE_TIMEOUT" "$FREEZER_API_URL/healthcheck"; then
            die $LINENO "freezer-api did not start; see: journalctl -u devstack@freezer-api"
        fi
    fi
    if is_service_enabled freezer-scheduler; then
        run_process freezer-scheduler \
            "$FREEZER_BIN_DIR/freezer-scheduler --no-daemon --config-file $FREEZER_SCHEDULER_CONF start"
    fi
}

function stop_freezer {
    stop_process freezer-scheduler
    stop_process freezer-api
}

function cleanup_freezer {
    sudo rm -rf "$FREEZER_CONF_DIR" "$FREEZER_STATE_DIR"
}

function freezer_plugin {
    local mode=$1 phase=$2
    FREEZER_BIN_DIR=$(get_python_exec_prefix)
    case $mode/$phase in
        stack/install) install_freezer ;;
        stack/post-config)
            configure_freezer
            if is_service_enabled freezer-api keystone; then
                create_freezer_accounts
            fi
            ;;
        stack/extra)
            init_freezer
            start_freezer
            ;;
        unstack/*) stop_freezer ;;
        clean/*) cleanup_freezer ;;
    esac
}

freezer_plugin "$1" "${2:-}"
