"""The options of encryption as a request value, or what is wrong with them."""

import os
from pathlib import Path

from freezer_agent.conf.options import Options
from freezer_agent.requests import CipherChoice, Encryption


def to_encryption(options: Options, start: Path, reasons: list[str]) -> Encryption:
    """The keys and the cipher of a run. What contradicts itself is added to `reasons`."""
    encryption = Encryption(
        pass_file=_file(options, "encrypt_pass_file", start, reasons),
        recipients=tuple(_recipient(one, start) for one in options["encrypt_recipient"] or ()),
        key_file=_file(options, "decrypt_key_file", start, reasons),
        cipher=CipherChoice(options["cipher"]),
        allow_unencrypted=options["allow_unencrypted"],
    )
    if options["action"] == "backup":
        _check_cipher(encryption, reasons)
    return encryption


def _check_cipher(encryption: Encryption, reasons: list[str]) -> None:
    if encryption.cipher is not CipherChoice.AUTOMATIC and not encryption.is_asked_for:
        reasons.append(
            f"--cipher {encryption.cipher} needs a key: --encrypt-pass-file or --encrypt-recipient"
        )
    if encryption.cipher is CipherChoice.AES_256_CFB and encryption.recipients:
        reasons.append(
            f"--cipher {encryption.cipher} takes a pass phrase and no --encrypt-recipient"
        )


def _file(options: Options, name: str, start: Path, reasons: list[str]) -> Path | None:
    given: str | None = options[name]
    if not given:
        return None
    path = start / given
    if not path.is_file() or not os.access(path, os.R_OK):
        option = f"--{name.replace('_', '-')}"
        reasons.append(f"{option} {str(path)!r} is no file that can be read")
    return path


def _recipient(text: str, start: Path) -> str:
    """The path of a file, or else the public key itself."""
    path = start / text.strip()
    return str(path) if path.is_file() else text.strip()
