"""The two suites of docs/formats.md section 1: which algorithms keys and signatures of an instance are.

Suite `sm` is SM2, SM3 and SM4 (gm.py); suite `intl` is ECDSA on P-256 with SHA-256, RSA-OAEP and AES-128, all by
way of the `openssl` program. A public key says by its SubjectPublicKeyInfo which it is. Guards: the algorithm
named in a document is that of the key; of the two ECDSA signatures of a message only the one with the low s counts.
"""

import os
import tempfile

import gm
from der import DerError, Reader, encode_integer, encode_sequence

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
P256_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")

# How a checkpoint's signature line names the key of the log.
CHECKPOINT_TYPES = {"sm2": b"sm2-sm3-checkpoint/v1", "p256": b"ecdsa-p256-sha256-checkpoint/v1"}


def kind_of(spki):
    """sm2, p256 or rsa; refuses every other form."""
    if len(spki) == 91 and spki.startswith(gm.SPKI_PREFIX + b"\x04"):
        return "sm2"
    if len(spki) == 91 and spki.startswith(P256_PREFIX + b"\x04"):
        return "p256"
    inner = Reader(spki).sequence()
    algorithm, _ = inner.tlv(0x30)
    if algorithm != RSA_ALGORITHM:
        raise DerError("not an SM2, P-256 or RSA key")
    pair = Reader(inner.bits()).sequence()
    modulus, exponent = pair.integer(), pair.integer()
    pair.end()
    inner.end()
    sized = 2048 <= modulus.bit_length() <= 4096 and modulus.bit_length() % 8 == 0 and modulus % 2
    if not sized or exponent != 65537:
        raise DerError("RSA key outside the limits")
    return "rsa"


def suite_of(anchor):
    """The suite of an instance, by its keys, which must be of one."""
    signing = {kind_of(anchor["log_key"]), kind_of(anchor["instance_key"])}
    sealing = {kind_of(key) for key in (anchor["import_key"], anchor["component_key"]) if key is not None}
    for name, sign, seal in (("sm", "sm2", "sm2"), ("intl", "p256", "rsa")):
        if signing == {sign} and sealing == {seal}:
            return name
    raise DerError("the keys of the anchor are not of one suite")


def verify(spki, algorithm, message, signature):
    """Refuses a signature (DER) over `message` that is not by this key, or not of the algorithm named."""
    kind = kind_of(spki)
    expected = {"sm2": gm.SM2_WITH_SM3, "p256": ECDSA_WITH_SHA256}.get(kind)
    if algorithm is not None and algorithm != expected:
        raise gm.CryptoError("the document names another algorithm than its key's")
    if kind == "sm2":
        return gm.sm2_verify(spki, message, signature)
    if kind != "p256":
        raise gm.CryptoError("an RSA key signs nothing here")
    pair = Reader(signature).sequence()
    r, s = pair.integer(), pair.integer()
    if not 0 < s <= P256_ORDER // 2 or signature != encode_sequence(encode_integer(r), encode_integer(s)):
        raise gm.CryptoError("not the one form of the signature: s is not low")
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("key.pem", "message", "signature")]
        for name, content in zip(names, (gm.pem_of_public_key(spki).encode(), message, signature)):
            with open(name, "wb") as file:
                file.write(content)
        code, _ = gm.openssl(
            "dgst", "-sha256", "-verify", names[0], "-signature", names[2], names[1], check=False
        )
    if code != 0:
        raise gm.CryptoError("the ECDSA signature does not verify")
    return None


def unseal(key_file, ciphertext, password=None):
    """Opens what is sealed to an HSM's key: SM2Cipher or RSA-OAEP, by the kind of the private key."""
    if kind_of(gm.public_key_of(key_file, password)) != "rsa":
        return gm.sm2_decrypt(key_file, ciphertext, password)
    with tempfile.NamedTemporaryFile() as sealed:
        sealed.write(ciphertext)
        sealed.flush()
        extra = ["-passin", f"pass:{password}"] if password is not None else []
        return gm.openssl(
            "pkeyutl", "-decrypt", "-inkey", key_file, *extra, "-pkeyopt", "rsa_padding_mode:oaep", "-in", sealed.name
        )[1]


def aes_ecb(key, blocks, decrypt=False):
    """All blocks under one AES-128 key, in one run of OpenSSL."""
    if not blocks:
        return b""
    result = gm.openssl("enc", "-d" if decrypt else "-e", "-aes-128-ecb", "-K", key.hex(), "-nopad", data=blocks)[1]
    if len(result) != len(blocks):
        raise gm.CryptoError("openssl enc answered another length")
    return result


class Cipher:
    """The block cipher of a suite."""

    def __init__(self, suite):
        self.ecb = {"sm": gm.sm4_ecb, "intl": aes_ecb}[suite]
        self.block = {"sm": gm.sm4_block, "intl": aes_ecb}[suite]

    def check_value(self, key, method):
        """ecb3 or cmac5 of a key."""
        return gm.check_value(key, method, self.block)

    def unwrap_all(self, kek, blobs, wrap):
        """Many wrapped keys at once. One block in ECB proves nothing by itself: the Merkle leaf did, before."""
        if wrap == "ecb":
            if any(len(blob) != 16 for blob in blobs):
                raise gm.CryptoError("a wrapped key has 16 bytes")
            plain = self.ecb(kek, b"".join(blobs), decrypt=True)
            return [plain[at : at + 16] for at in range(0, len(plain), 16)]
        return gm.unwrap_all(kek, blobs, self.ecb)
