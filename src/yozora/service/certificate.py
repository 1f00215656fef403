"""The key that a service signs its videos with, and the certificates that say whose it is.

They lie in a folder of their own, as ``key.pem`` and ``chain.pem``. Where it is missing a throwaway pair is made: it
shows that a file is as the service made it, and who knows its ``authority.pem`` can tell that it was this service; but
no list of trusted signers holds it. Certificates that are on one are put in its place: the key in PKCS #8 without a
password, the chain with the signer's own certificate first.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from yozora.artifact import scratch
from yozora.errors import YozoraError

KEY, CHAIN, AUTHORITY = "key.pem", "chain.pem", "authority.pem"
LASTS = datetime.timedelta(
    days=3650
)  # without a time-stamping authority a signature ends with its certificate
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
USAGES = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Credentials:
    """chain, key: PEM. algorithm: as C2PA calls it (C2PA 2.2, 13.2.1)."""

    chain: bytes
    key: bytes
    algorithm: str


def load_credentials(folder: Path) -> Credentials:
    """The credentials in a folder; a throwaway pair is put there first when there is no such folder.

    Raises YozoraError when they cannot be read, made or used.
    """
    if not folder.exists():
        make_throwaway(folder)
    try:
        chain, key = (folder / CHAIN).read_bytes(), (folder / KEY).read_bytes()
        private = load_pem_private_key(key, None)
        signer = x509.load_pem_x509_certificates(chain)[0]
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise YozoraError(
            f"{folder} holds no credentials to sign with ({error}): it needs {KEY}, in PKCS #8 without a password, and "
            f"{CHAIN}; remove the folder to have a throwaway pair made."
        ) from error
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*spki) != signer.public_key().public_bytes(*spki):
        raise YozoraError(
            f"The key in {folder / KEY} is not that of the first certificate in {CHAIN}."
        )
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in CURVES:
        return Credentials(chain, key, CURVES[private.curve.name])
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return Credentials(chain, key, "ed25519")
    if isinstance(private, rsa.RSAPrivateKey):
        return Credentials(chain, key, "ps256")
    raise YozoraError(
        f"The key in {folder / KEY} must be elliptic (P-256 to P-521), Ed25519 or RSA."
    )


def make_throwaway(folder: Path) -> None:
    """A key with a certificate from an authority whose own key is thrown away. Raises YozoraError.

    Of several processes that begin at once one has its folder kept; the others take that.
    """
    authority, signer = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    own = certificate("yozora", authority, None)
    signed = certificate("yozora service", signer, authority)
    with scratch(folder.parent, folder.name) as made:
        private = signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with open(os.open(made / KEY, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(private)
        (made / CHAIN).write_bytes(signed.public_bytes(Encoding.PEM))
        (made / AUTHORITY).write_bytes(own.public_bytes(Encoding.PEM))
        try:
            made.replace(folder)
        except OSError as error:
            if not (folder / KEY).is_file():
                raise YozoraError(f"{folder} cannot be made: {error.strerror}.") from error


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: ec.EllipticCurvePrivateKey | None
) -> x509.Certificate:
    """An authority's certificate, signed by itself, or one for signing that an issuer gives (C2PA 2.2, 14.5.1)."""
    top, now = issuer is None, datetime.datetime.now(datetime.UTC)
    giver = issuer or key
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called("yozora"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + LASTS)
        .add_extension(x509.BasicConstraints(top, None), critical=True)
        .add_extension(usage(top), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(giver.public_key()), critical=False
        )
    )
    if not top:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(purpose, critical=False)
    return builder.sign(giver, hashes.SHA256())


def called(name: str) -> x509.Name:
    """A subject that says on its face that nobody has vouched for it."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "throwaway certificate"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def usage(top: bool) -> x509.KeyUsage:
    """What a key may be used for: an authority's to sign certificates, another one to sign files."""
    return x509.KeyUsage(
        digital_signature=not top,
        key_cert_sign=top,
        crl_sign=top,
        **dict.fromkeys(USAGES, False),
    )
