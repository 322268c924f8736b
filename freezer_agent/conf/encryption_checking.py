"""The options of encryption as a request value, or what is wrong with them."""

import os
from collections.abc import Sequence
from pathlib import Path

from freezer_agent.conf.options import Options
from freezer_agent.conf.places import Places
from freezer_agent.requests import CipherChoice, Encryption, RekeyRequest, SetName
from freezer_agent.storage_choices import StorageChoice


def to_encryption(options: Options, places: Places, reasons: list[str]) -> Encryption:
    """The keys and the cipher of a run. What contradicts itself is added to `reasons`."""
    encryption = Encryption(
        pass_file=_file(options, "encrypt_pass_file", places, reasons),
        recipients=_recipients(options, "encrypt_recipient", places),
        key_file=_file(options, "decrypt_key_file", places, reasons),
        cipher=CipherChoice(options["cipher"]),
        allow_unencrypted=options["allow_unencrypted"],
    )
    if options["action"] == "backup":
        _check_cipher(encryption, reasons)
    return encryption


_REKEYING = (
    "new_encrypt_pass_file",
    "new_encrypt_recipient",
    "remove_encrypt_pass_file",
    "remove_encrypt_recipient",
)


def to_rekey(
    options: Options, places: Places, storage: StorageChoice, set_name: SetName, reasons: list[str]
) -> RekeyRequest:
    """Which keys of which backups come and go. What contradicts itself is added to `reasons`."""
    request = RekeyRequest(
        storage=storage,
        set_name=set_name,
        encryption=to_encryption(options, places, reasons),
        new_pass_file=_file(options, "new_encrypt_pass_file", places, reasons),
        new_recipients=_recipients(options, "new_encrypt_recipient", places),
        removed_pass_file=_file(options, "remove_encrypt_pass_file", places, reasons),
        removed_recipients=_recipients(options, "remove_encrypt_recipient", places),
        dry_run=options["dry_run"],
    )
    if not any(options[name] for name in _REKEYING):
        reasons.append(f"--rekey needs one of {_named(_REKEYING)}")
    if not request.encryption.has_key:
        reasons.append(
            "--rekey needs a key that opens the backups now: --encrypt-pass-file or "
            "--decrypt-key-file"
        )
    return request


def refuse_rekeying(options: Options, reasons: list[str]) -> None:
    """Options of rekeying with another action would be passed over."""
    given = [name for name in ("rekey", *_REKEYING) if options[name]]
    if given:
        reasons.append(f"{_named(given)}: keys are changed with --action admin --rekey")


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _check_cipher(encryption: Encryption, reasons: list[str]) -> None:
    if encryption.cipher is not CipherChoice.AUTOMATIC and not encryption.is_asked_for:
        reasons.append(
            f"--cipher {encryption.cipher} needs a key: --encrypt-pass-file or --encrypt-recipient"
        )
    if encryption.cipher is CipherChoice.AES_256_CFB and encryption.recipients:
        reasons.append(
            f"--cipher {encryption.cipher} takes a pass phrase and no --encrypt-recipient"
        )


def _file(options: Options, name: str, places: Places, reasons: list[str]) -> Path | None:
    given: str | None = options[name]
    if not given:
        return None
    path = places.path(given)
    if not path.is_file() or not os.access(path, os.R_OK):
        option = f"--{name.replace('_', '-')}"
        reasons.append(f"{option} {str(path)!r} is no file that can be read")
    return path


def _recipients(options: Options, name: str, places: Places) -> tuple[str, ...]:
    return tuple(_recipient(text, places) for text in options[name] or ())


def _recipient(text: str, places: Places) -> str:
    """The path of a file, or else the public key itself."""
    path = places.path(text.strip())
    return str(path) if path.is_file() else text.strip()
