"""SM2, SM3 and SM4 by way of OpenSSL, and what OpenSSL 3.0 lacks in a few lines of Python.

SM2 signatures and decryption and all bulk SM4-ECB run in the `openssl` program; SM3 is the one of the
same library through hashlib, or the program where Python was built without it. Key unwrapping
(RFC 3394), GCM and CMAC are written here around SM4-ECB. One block under a key that is used once (a
check value) is computed by a small SM4 in Python, compared with OpenSSL in the tests, because
starting a program for each of 57,000 keys would take an hour.
"""

import hashlib
import os
import subprocess
import tempfile

SIGNER_ID = "1234567812345678"
SM2_WITH_SM3 = bytes.fromhex("300a06082a811ccf55018375")
SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")


class CryptoError(Exception):
    """A signature, tag or integrity value does not verify."""


def openssl(*arguments, data=b"", check=True):
    """Runs the program; answers (exit code, standard output)."""
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    if check and done.returncode != 0:
        raise CryptoError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.returncode, done.stdout


try:
    hashlib.new("sm3", b"")

    def sm3(*parts):
        """SM3 over the parts, one after the other."""
        return hashlib.new("sm3", b"".join(parts)).digest()

except ValueError:

    def sm3(*parts):
        """SM3 over the parts, one after the other."""
        return openssl("dgst", "-sm3", "-binary", data=b"".join(parts))[1]


def pem_of_public_key(spki):
    """A PUBLIC KEY block."""
    import base64

    text = base64.encodebytes(spki).decode().replace("\n", "")
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "-----BEGIN PUBLIC KEY-----\n" + "\n".join(lines) + "\n-----END PUBLIC KEY-----\n"


def sm2_verify(spki, message, signature):
    """Refuses a signature (DER) over `message` that is not by this key (SubjectPublicKeyInfo)."""
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("key.pem", "message", "signature")]
        for name, content in zip(names, (pem_of_public_key(spki).encode(), message, signature)):
            with open(name, "wb") as file:
                file.write(content)
        code, _ = openssl(
            "pkeyutl", "-verify", "-pubin", "-inkey", names[0], "-rawin", "-digest", "sm3",
            "-in", names[1], "-sigfile", names[2], "-pkeyopt", f"distid:{SIGNER_ID}", check=False,
        )  # fmt: skip
    if code != 0:
        raise CryptoError("the SM2 signature does not verify")


def sm2_decrypt(key_file, ciphertext, password=None):
    """Opens an SM2Cipher with a private key in a PEM file."""
    with tempfile.NamedTemporaryFile() as sealed:
        sealed.write(ciphertext)
        sealed.flush()
        extra = ["-passin", f"pass:{password}"] if password is not None else []
        return openssl("pkeyutl", "-decrypt", "-inkey", key_file, *extra, "-in", sealed.name)[1]


def public_key_of(key_file, password=None):
    """SubjectPublicKeyInfo of a private key in a PEM file."""
    extra = ["-passin", f"pass:{password}"] if password is not None else []
    return openssl("pkey", "-in", key_file, *extra, "-pubout", "-outform", "DER")[1]


def public_key_of_certificate(der):
    """SubjectPublicKeyInfo of a certificate."""
    pem = openssl("x509", "-inform", "DER", "-noout", "-pubkey", data=der)[1]
    return openssl("pkey", "-pubin", "-pubout", "-outform", "DER", data=pem)[1]


def sm4_ecb(key, blocks, decrypt=False):
    """All blocks under one key, in one run of OpenSSL."""
    if not blocks:
        return b""
    result = openssl("enc", "-d" if decrypt else "-e", "-sm4-ecb", "-K", key.hex(), "-nopad", data=blocks)[1]
    if len(result) != len(blocks):
        raise CryptoError("openssl enc answered another length")
    return result


def xor(left, right):
    """Byte by byte."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def unwrap_all(kek, blobs, ecb=sm4_ecb):
    """RFC 3394 for many 24-byte blobs at once: twelve runs of OpenSSL, however many there are."""
    if any(len(blob) != 24 for blob in blobs):
        raise CryptoError("a wrapped key has 24 bytes")
    state = [[blob[:8], blob[8:16], blob[16:]] for blob in blobs]
    for step in range(12, 0, -1):  # t = 2·j + i, from 12 down to 1
        half = 2 if step % 2 == 0 else 1
        mask = step.to_bytes(8, "big")
        blocks = b"".join(xor(one[0], mask) + one[half] for one in state)
        opened = ecb(kek, blocks, decrypt=True)
        for position, one in enumerate(state):
            block = opened[16 * position : 16 * position + 16]
            one[0], one[half] = block[:8], block[8:]
    for position, one in enumerate(state):
        if one[0] != b"\xa6" * 8:
            raise CryptoError(f"wrapped key {position} is not authentic")
    return [one[1] + one[2] for one in state]


_REDUCTION = 0xE1 << 120


def _gf_multiply(x, y):
    z = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= y
        y = y >> 1 ^ _REDUCTION if y & 1 else y >> 1
    return z


def _ghash(h, *parts):
    # One table per byte position: 16 look-ups a block instead of 128 shifts.
    tables = []
    for position in range(16):
        shift = 8 * (15 - position)
        single = [_gf_multiply(1 << shift + bit, h) for bit in range(8)]
        table = [0] * 256
        for value in range(1, 256):
            low = value & -value
            table[value] = table[value ^ low] ^ single[low.bit_length() - 1]
        tables.append(table)
    y = 0
    for part in parts:
        for at in range(0, len(part), 16):
            y ^= int.from_bytes(part[at : at + 16].ljust(16, b"\0"), "big")
            block = y.to_bytes(16, "big")
            y = 0
            for table, byte in zip(tables, block):
                y ^= table[byte]
    return y


def sm4_gcm_open(key, nonce, sealed, associated):
    """Opens ciphertext ‖ tag; refuses a wrong tag."""
    if len(nonce) != 12 or len(sealed) < 16:
        raise CryptoError("GCM sizes")
    text, tag = sealed[:-16], sealed[-16:]
    count = (len(text) + 15) // 16
    counters = b"".join(nonce + (1 + i).to_bytes(4, "big") for i in range(count + 1))
    stream = sm4_ecb(key, bytes(16) + counters)
    h, first, stream = stream[:16], stream[16:32], stream[32:]
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * len(text)).to_bytes(8, "big")
    y = _ghash(int.from_bytes(h, "big"), associated, text, lengths)
    if xor(y.to_bytes(16, "big"), first) != tag:
        raise CryptoError("the GCM tag is wrong")
    return xor(text, stream[: len(text)])


def _sbox():
    """The S-box of GM/T 0002, computed: x → A·inverse(A·x + c) + c over x⁸+x⁷+x⁶+x⁵+x⁴+x²+1."""

    def multiply(a, b):
        result = 0
        while b:
            if b & 1:
                result ^= a
            a <<= 1
            if a & 0x100:
                a ^= 0x1F5
            b >>= 1
        return result

    def affine(x):
        out = 0
        for bit in range(8):
            parity = bin(x & (0xA7 << bit | 0xA7 >> (8 - bit)) & 0xFF).count("1") & 1
            out |= parity << bit
        return out ^ 0xD3

    inverse = [0] * 256
    for a in range(1, 256):
        inverse[a] = next(b for b in range(1, 256) if multiply(a, b) == 1)
    return [affine(inverse[affine(x)]) for x in range(256)]


SBOX = _sbox()


def _rotate(word, bits):
    return (word << bits | word >> (32 - bits)) & 0xFFFFFFFF


def _substitute(word):
    return SBOX[word >> 24] << 24 | SBOX[word >> 16 & 255] << 16 | SBOX[word >> 8 & 255] << 8 | SBOX[word & 255]


_CK = [sum(((4 * i + j) * 7 & 0xFF) << (24 - 8 * j) for j in range(4)) for i in range(32)]
_FK = (0xA3B1BAC6, 0x56AA3350, 0x677D9197, 0xB27022DC)


def sm4_block(key, block):
    """One block under one key, in Python."""
    k = [int.from_bytes(key[i : i + 4], "big") ^ _FK[i // 4] for i in range(0, 16, 4)]
    x = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 16, 4)]
    for constant in _CK:
        b = _substitute(k[1] ^ k[2] ^ k[3] ^ constant)
        k = [k[1], k[2], k[3], k[0] ^ b ^ _rotate(b, 13) ^ _rotate(b, 23)]
        b = _substitute(x[1] ^ x[2] ^ x[3] ^ k[3])
        x = [x[1], x[2], x[3], x[0] ^ b ^ _rotate(b, 2) ^ _rotate(b, 10) ^ _rotate(b, 18) ^ _rotate(b, 24)]
    return b"".join(word.to_bytes(4, "big") for word in reversed(x))


def check_value(key, method, encrypt=sm4_block):
    """ecb3 or cmac5 of a key."""
    if method == "ecb3":
        return encrypt(key, bytes(16))[:3]
    if method == "cmac5":
        # One full block of zeros: the first subkey alone.
        zero = int.from_bytes(encrypt(key, bytes(16)), "big")
        subkey = (zero << 1 ^ (0x87 if zero >> 127 else 0)) & (1 << 128) - 1
        return encrypt(key, subkey.to_bytes(16, "big"))[:5]
    raise CryptoError(f"unknown check value method {method}")


def merkle_root(leaves):
    """Root over leaf hashes."""
    if not leaves:
        return sm3()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sm3(b"\x01", merkle_root(leaves[:split]), merkle_root(leaves[split:]))


def verify_inclusion(leaf, index, size, path, root):
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        raise CryptoError("no such leaf")
    node, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise CryptoError("the path is too long")
        if node & 1 or node == last:
            value = sm3(b"\x01", sibling, value)
            while node & 1 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            value = sm3(b"\x01", value, sibling)
        node, last = node >> 1, last >> 1
    if last != 0 or value != root:
        raise CryptoError("the path does not lead to the root")
