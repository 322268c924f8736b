"""Options of whom to tell when jobs fail, succeed again, or do not succeed for long."""

from oslo_config import cfg, types

SECTION = "notifications"
TITLE = "Notifications"

EVENTS = ("failure", "recovery", "absence")

OPTIONS = (
    cfg.Opt(
        "notify-on",
        type=types.List(item_type=types.String(choices=EVENTS)),
        default=list(EVENTS),
        metavar="EVENT,EVENT",
        help="What is worth a notification: a run that fails (failure), the first success after "
        "that (recovery), a repeated job without a success for notify-absence (absence). Default "
        "is all of them.",
    ),
    cfg.StrOpt(
        "notify-absence",
        default="",
        metavar="TIME",
        help="After how long without a success a repeated job is missed, as in '26 hours' or "
        "'8 days'. Default is never.",
    ),
    cfg.StrOpt(
        "notify-command",
        default="",
        metavar="COMMAND",
        help="A program with its arguments, which gets the notification as JSON on standard input. "
        "No shell runs it.",
    ),
    cfg.StrOpt(
        "notify-webhook",
        default="",
        secret=True,
        metavar="URL",
        help="Where the notification is sent as JSON by POST.",
    ),
    cfg.ListOpt(
        "notify-mail-to",
        default=[],
        metavar="ADDRESS,ADDRESS",
        help="Who gets the notification by e-mail.",
    ),
    cfg.StrOpt(
        "notify-mail-from",
        default="",
        metavar="ADDRESS",
        help="The sender of e-mails. Default is freezer at the name of this host.",
    ),
    cfg.StrOpt(
        "notify-smtp-host", default="localhost", metavar="HOST", help="The server that takes mail."
    ),
    cfg.PortOpt("notify-smtp-port", default=25, metavar="PORT", help="Its port."),
    cfg.StrOpt(
        "notify-smtp-security",
        default="none",
        choices=("none", "starttls", "tls"),
        metavar="none|starttls|tls",
        help="How the connection to it is protected. Certificates are verified.",
    ),
    cfg.StrOpt("notify-smtp-username", default="", metavar="NAME", help="The user there."),
    cfg.StrOpt(
        "notify-smtp-password-file",
        default="",
        metavar="FILE",
        help="The file whose first line is that user's password.",
    ),
)
