"""Options of encryption."""

from oslo_config import cfg

TITLE = "Encryption"
REKEY_TITLE = "Changing the keys of stored backups (with action admin)"

OPTIONS = (
    cfg.StrOpt(
        "encrypt-pass-file",
        metavar="FILE",
        help="The file whose first line is the pass phrase that backups are encrypted with, and "
        "opened with on restore. Nobody but its owner should be able to read it.",
    ),
    cfg.MultiStrOpt(
        "encrypt-recipient",
        metavar="KEY",
        help="Encrypt for the owner of this public key, in place of or beside the pass phrase: a "
        "node with public keys alone makes backups that it cannot open. KEY is the file that "
        "'openssl pkey -in KEYFILE -pubout' writes, or the line in the middle of it. May be given "
        "several times.",
    ),
    cfg.StrOpt(
        "decrypt-key-file",
        metavar="FILE",
        help="The private key that opens backups for its public key, as 'openssl genpkey "
        "-algorithm X25519 -out FILE' makes it.",
    ),
    cfg.StrOpt(
        "cipher",
        default="automatic",
        choices=["automatic", "aes-256-gcm", "chacha20-poly1305", "aes-256-cfb"],
        help="What new backups are encrypted with. automatic is aes-256-gcm on processors with "
        "instructions for AES, else chacha20-poly1305; both notice every altered byte. "
        "aes-256-cfb is what former releases and 'openssl enc -d' read, and notices nothing. A restore "
        "takes what each backup was made with; with one of the first two ciphers it refuses "
        "aes-256-cfb.",
    ),
    cfg.BoolOpt(
        "allow-unencrypted",
        default=False,
        help="Restore backups that are not encrypted although a key is given. Without it they are "
        "refused, because somebody may have put them in the place of others.",
    ),
)

REKEY_OPTIONS = (
    cfg.BoolOpt(
        "rekey",
        default=False,
        help="Add or remove keys that open the sealed backups of the name, all of its chains. "
        "Their contents are not written again. --encrypt-pass-file or --decrypt-key-file open "
        "them as they are.",
    ),
    cfg.StrOpt(
        "new-encrypt-pass-file",
        metavar="FILE",
        help="With --rekey: the file of a pass phrase that is to open the backups too.",
    ),
    cfg.MultiStrOpt(
        "new-encrypt-recipient",
        metavar="KEY",
        help="With --rekey: a public key whose owner is to open the backups too.",
    ),
    cfg.StrOpt(
        "remove-encrypt-pass-file",
        metavar="FILE",
        help="With --rekey: the file of a pass phrase that is to open the backups no more.",
    ),
    cfg.MultiStrOpt(
        "remove-encrypt-recipient",
        metavar="KEY",
        help="With --rekey: a public key whose owner is to open the backups no more. Who has "
        "copied the metadata of a backup before can still open that copy.",
    ),
)
