"""Files that say something of their use, made here byte for byte; every container holds the packet where it belongs."""

from __future__ import annotations

import datetime
import io
import json
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

PLUS = "http://ns.useplus.org/ldf/vocab/"
SPACES = """xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:cc="http://creativecommons.org/ns#"
 xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:dcterms="http://purl.org/dc/terms/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#\""""


def packet(body: str) -> bytes:
    """An XMP packet, padded as writers pad it, whose rdf:Description holds `body`."""
    text = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {SPACES}>'
        f'<rdf:Description rdf:about="">{body}</rdf:Description></rdf:RDF></x:xmpmeta>\n'
    )
    return (text + " " * 200 + '\n<?xpacket end="w"?>').encode()


def mining(value: str) -> bytes:
    """A packet with plus:DataMining."""
    return packet(f"<plus:DataMining>{PLUS}{value}</plus:DataMining>")


def alt(name: str, text: str) -> str:
    """A property in several languages, as dc:rights has to be."""
    return f'<{name}><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></{name}>'


# --- containers ------------------------------------------------------------------------------------


@cache
def picture(format: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 90, 30)).save(data, format)
    return data.getvalue()


def segment(body: bytes, marker: int = 0xE1) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def jpeg(xmp: bytes = b"") -> bytes:
    plain = picture("JPEG")
    return (
        plain[:2] + (segment(b"http://ns.adobe.com/xap/1.0/\0" + xmp) if xmp else b"") + plain[2:]
    )


def jpeg_extended(xmp: bytes) -> bytes:
    """A JPEG whose packet is continued in two further segments, the second of them first."""
    guid, half = b"0123456789ABCDEF0123456789ABCDEF", len(xmp) // 2
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid
    note = f'<rdf:Description rdf:about="" xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="{guid.decode()}"/>'
    main = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {SPACES}>{note}</rdf:RDF></x:xmpmeta>'
    parts = [
        segment(head + struct.pack(">II", len(xmp), at) + xmp[at : at + half + 1])
        for at in (half + 1, 0)
    ]
    plain = jpeg(main.encode())
    end = 4 + struct.unpack(">H", plain[4:6])[0]
    return plain[:end] + b"".join(parts) + plain[end:]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(xmp: bytes, compressed: bool = False) -> bytes:
    plain = picture("PNG")
    text = zlib.compress(xmp) if compressed else xmp
    body = b"XML:com.adobe.xmp\0" + bytes((compressed, 0)) + b"\0\0" + text
    return plain[:33] + chunk(b"iTXt", body) + plain[33:]


def riff_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def webp(xmp: bytes) -> bytes:
    simple = picture("WEBP")[12:]
    size = struct.pack("<I", 15)[:3]
    extended = riff_chunk(b"VP8X", bytes((4, 0, 0, 0)) + size + size)
    body = b"WEBP" + extended + simple + riff_chunk(b"XMP ", xmp)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avi(xmp: bytes) -> bytes:
    header = riff_chunk(b"LIST", b"hdrl" + riff_chunk(b"avih", bytes(56)))
    body = b"AVI " + header + riff_chunk(b"LIST", b"movi") + riff_chunk(b"_PMX", xmp)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif(xmp: bytes) -> bytes:
    plain = picture("GIF")
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return plain[:-1] + b"\x21\xff\x0bXMP DataXMP" + xmp + trailer + b"\x3b"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


MVHD = box(b"mvhd", bytes(12) + struct.pack(">III", 600, 600, 0x10000) + bytes(76))


def mp4(xmp: bytes, large: bool = False) -> bytes:
    """XMP in a uuid box at the end, after pixels; `large`: the pixels' box has a 64-bit length."""
    pixels = (
        struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", 16 + 5000) + bytes(5000)
        if large
        else box(b"mdat", bytes(5000))
    )
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    return (
        box(b"ftyp", b"isom" + bytes(4) + b"isom")
        + box(b"moov", MVHD)
        + pixels
        + box(b"uuid", uuid + xmp)
    )


def mov(xmp: bytes) -> bytes:
    """XMP in moov/udta/XMP_, in a list that ends with zeros, as QuickTime writes it."""
    user = box(b"udta", box(b"XMP_", xmp) + bytes(4))
    return (
        box(b"ftyp", b"qt  " + bytes(4) + b"qt  ")
        + box(b"mdat", bytes(100))
        + box(b"moov", MVHD + user)
    )


def tiff(xmp: bytes) -> bytes:
    """A container without a walker: XMP in tag 700."""
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (700, 1, len(xmp), 8 + 2 + 3 * 12 + 4)]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + xmp


CONTAINERS = {
    "jpeg.jpg": jpeg,
    "extended.jpg": jpeg_extended,
    "png.png": png,
    "compressed.png": lambda xmp: png(xmp, compressed=True),
    "webp.webp": webp,
    "avi.avi": avi,
    "gif.gif": gif,
    "uuid.mp4": mp4,
    "large.mp4": lambda xmp: mp4(xmp, large=True),
    "udta.mov": mov,
    "tiff.tif": tiff,
    "sidecar.xmp": bytes,
}


# --- Content Credentials ---------------------------------------------------------------------------


@cache
def credentials() -> tuple[bytes, bytes]:
    """A certificate chain and its key in PEM, good for nothing but these tests."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "signer")}
    names = {
        name: x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        for name in keys
    }
    made = []
    for name in ("signer", "authority"):
        top, key = name == "authority", keys[name].public_key()
        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["authority"])
            .public_key(key)
            .serial_number(1 + top)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(top, None), critical=True)
            .add_extension(
                x509.KeyUsage(not top, key_cert_sign=top, crl_sign=top, **usage), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if not top:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
                keys["authority"].public_key()
            )
            builder = builder.add_extension(issuer, critical=False)
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
        made.append(
            builder.sign(keys["authority"], hashes.SHA256()).public_bytes(
                serialization.Encoding.PEM
            )
        )
    private = keys["signer"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return b"".join(made), private


def signed(
    plain: bytes,
    mime: str,
    assertion: dict[str, Any] | None,
    label: str = "cawg.training-mining",
    *,
    beside: bool = False,
    source: str = "digitalCapture",
) -> bytes:
    """A picture with a signed manifest that makes this assertion; or the manifest's store alone, to lie beside it."""
    import c2pa

    chain, key = credentials()
    kind = f"http://cv.iptc.org/newscodes/digitalsourcetype/{source}"
    made = {
        "label": "c2pa.actions",
        "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": kind}]},
    }
    claims = [{"label": label, "data": assertion}] if assertion is not None else []
    manifest = {
        "claim_generator_info": [{"name": "tests", "version": "1"}],
        "assertions": [made, *claims],
    }
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    out = io.BytesIO()
    settings = c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}})
    with c2pa.Builder(json.dumps(manifest), context=c2pa.Context(settings)) as builder:
        if beside:
            builder.set_no_embed()
        store = builder.sign(signer, mime, io.BytesIO(plain), out)
    return bytes(store) if beside else out.getvalue()


def uses(**entries: str) -> dict[str, Any]:
    """The data of a training-mining assertion: ai_training="allowed" and so on."""
    return {"entries": {f"cawg.{name}": {"use": use} for name, use in entries.items()}}


def put(folder: Path, files: dict[str, bytes | str]) -> Path:
    """Write files into a folder; the first is the one that the others speak of."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / next(iter(files))
