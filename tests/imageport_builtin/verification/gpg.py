"""A publisher who signs with gpg, in a separate home."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: An option of gpg that sets its clock, for what has run out by now.
LONG_AGO: Final = ("--faked-system-time", "20200105T000000!")


@dataclass(frozen=True)
class Gpg:
    """gpg with its keys in the folder *home*, whose path has to be short: the sockets of its agent are there."""

    home: Path

    def __call__(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run gpg and return what it prints."""
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--quiet", "--passphrase", ""]
        command += ["--pinentry-mode", "loopback", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout

    def make_key(self, name: str, *options: str, algorithm: str = "ed25519", expires: str = "never") -> str:
        """Make a key that signs, and return its fingerprint."""
        self(*options, "--quick-generate-key", self.user(name), algorithm, "sign", expires)
        return self.fingerprint(name)

    def fingerprint(self, name: str) -> str:
        listing = self("--with-colons", "--list-keys", self.user(name)).decode()
        return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))

    def certificates(self, *names: str, armor: bool = True) -> bytes:
        """Return what the operator gets to trust these signers."""
        return self(*(["--armor"] if armor else []), "--export", *map(self.user, names))

    def revoked(self, name: str) -> bytes:
        """Return the certificate of *name* with the revocation that gpg made in advance."""
        revocation = self.home / "openpgp-revocs.d" / f"{self.fingerprint(name)}.rev"
        armored = revocation.read_text().partition("\n:-----")[2]
        return self.certificates(name) + f"-----{armored}".encode()

    def detached(self, text: bytes, *names: str, options: tuple[str, ...] = (), armor: bool = True) -> bytes:
        """Return the signature of *text* by each of *names*, as ``SHA256SUMS.gpg`` or ``.asc`` is made."""
        signers = [word for name in names for word in ("--local-user", self.user(name))]
        return self(*options, *signers, *(["--armor"] if armor else []), "--detach-sign", stdin=text)

    def clear_signed(self, text: bytes, name: str, *options: str) -> bytes:
        """Return *text* with its signature, as ``CHECKSUM`` of Fedora is made."""
        return self(*options, "--local-user", self.user(name), "--clear-sign", stdin=text)

    def stop(self) -> None:
        """End the agent that gpg has started."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)

    @staticmethod
    def user(name: str) -> str:
        return f"{name} <{name}@example.org>"
