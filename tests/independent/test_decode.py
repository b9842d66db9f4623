#!/usr/bin/env python3
"""The independent decoder against published vectors, before anybody believes what it says about ours."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gm  # noqa: E402
import package  # noqa: E402
from der import DerError, Reader, encode_integer  # noqa: E402

KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")


class Sm4(unittest.TestCase):
    def test_gmt_0002_example_1(self):
        expected = "681edf34d206965e86b3e94f536e4246"
        self.assertEqual(gm.sm4_block(KEY, KEY).hex(), expected)
        self.assertEqual(gm.sm4_ecb(KEY, KEY).hex(), expected)

    def test_python_and_openssl_agree(self):
        for number in range(64):
            key, block = gm.sm3(bytes([number]))[:16], gm.sm3(bytes([number]))[16:]
            self.assertEqual(gm.sm4_block(key, block), gm.sm4_ecb(key, block))

    def test_gcm_rfc_8998_a1(self):
        text = bytes.fromhex(
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
            "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        )
        tag = bytes.fromhex("83de3541e4c2b58177e065a9bf7b62ec")
        nonce = bytes.fromhex("00001234567800000000abcd")
        data = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        plain = gm.sm4_gcm_open(KEY, nonce, text + tag, data)
        self.assertEqual(plain.hex(), "".join(digit * 16 for digit in "abcdefea"))
        for wrong in (text[:-1] + b"\0" + tag, text + tag[:-1] + b"\0"):
            with self.assertRaises(gm.CryptoError):
                gm.sm4_gcm_open(KEY, nonce, wrong, data)
        with self.assertRaises(gm.CryptoError):
            gm.sm4_gcm_open(KEY, nonce, text + tag, data[:-1])

    def test_check_values(self):
        self.assertEqual(gm.check_value(KEY, "ecb3").hex(), "2677f4")
        self.assertEqual(gm.check_value(KEY, "cmac5").hex(), "909f5e6ed1")

    def test_key_wrap(self):
        wrapped = wrap(KEY, KEY[::-1])
        self.assertEqual(gm.unwrap_all(KEY, [wrapped, wrapped]), [KEY[::-1]] * 2)
        for byte in range(0, len(wrapped), 5):
            bad = bytearray(wrapped)
            bad[byte] ^= 1
            with self.assertRaises(gm.CryptoError):
                gm.unwrap_all(KEY, [wrapped, bytes(bad)])


def wrap(kek, key):
    """RFC 3394, the other way round."""
    a, r = b"\xa6" * 8, [key[:8], key[8:]]
    for j in range(6):
        for i in (0, 1):
            b = gm.sm4_block(kek, a + r[i])
            a, r[i] = gm.xor(b[:8], (2 * j + i + 1).to_bytes(8, "big")), b[8:]
    return a + r[0] + r[1]


class Sm3(unittest.TestCase):
    def test_gmt_0004_example_1(self):
        expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        self.assertEqual(gm.sm3(b"abc").hex(), expected)
        self.assertEqual(gm.openssl("dgst", "-sm3", "-binary", data=b"abc")[1].hex(), expected)


class Sm2(unittest.TestCase):
    def test_sign_verify_encrypt_decrypt(self):
        with tempfile.TemporaryDirectory() as folder:
            key, text = os.path.join(folder, "key.pem"), os.path.join(folder, "text")
            gm.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", key)
            with open(text, "wb") as file:
                file.write(KEY)
            public = gm.public_key_of(key)
            self.assertEqual(public[:26], gm.SPKI_PREFIX)
            signature = gm.openssl(
                "pkeyutl", "-sign", "-inkey", key, "-rawin", "-digest", "sm3", "-in", text,
                "-pkeyopt", f"distid:{gm.SIGNER_ID}",
            )[1]  # fmt: skip
            gm.sm2_verify(public, KEY, signature)
            with self.assertRaises(gm.CryptoError):
                gm.sm2_verify(public, KEY[::-1], signature)
            sealed = gm.openssl("pkeyutl", "-encrypt", "-inkey", key, "-in", text)[1]
            self.assertEqual(gm.sm2_decrypt(key, sealed), KEY)


class Diversification(unittest.TestCase):
    def test_specification_vector(self):
        child = gm.sm4_ecb(KEY, package.block_of(bytes.fromhex("92cdce45a16799fd")))
        self.assertEqual(child.hex(), "86c63180c2806ed1f47b859de501215b")

    def test_worked_example_of_the_formats(self):
        province = gm.sm4_ecb(KEY, package.block_of(b"41000000"))
        self.assertEqual(province.hex(), "71b5329bb4ec4e2f8abde61bd953de5e")
        card = gm.sm4_ecb(province, package.block_of(bytes.fromhex("0102030405060708")))
        self.assertEqual(card.hex(), "a77208fae07c542635582cf4c15dae62")
        values = [gm.check_value(key, "ecb3").hex() for key in (KEY, province, card)]
        self.assertEqual(values, ["2677f4", "c360a1", "9164a8"])


class Merkle(unittest.TestCase):
    def test_every_path_of_small_trees(self):
        for size in range(1, 20):
            leaves = [gm.sm3(b"\0", bytes([i])) for i in range(size)]
            root = gm.merkle_root(leaves)
            for index in range(size):
                path = inclusion_path(leaves, index)
                gm.verify_inclusion(leaves[index], index, size, path, root)
                for bad in (path[:-1], path + [root], [gm.sm3(b"")] + path[1:]):
                    if bad != path:
                        with self.assertRaises(gm.CryptoError):
                            gm.verify_inclusion(leaves[index], index, size, bad, root)


def inclusion_path(leaves, index):
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return inclusion_path(leaves[:split], index) + [gm.merkle_root(leaves[split:])]
    return inclusion_path(leaves[split:], index - split) + [gm.merkle_root(leaves[:split])]


class Der(unittest.TestCase):
    def test_what_is_refused(self):
        for text in ("02020001", "0201ff", "0200", "028101 05".replace(" ", ""), "02", "0202ff", "0280"):
            with self.assertRaises(DerError, msg=text):
                Reader(bytes.fromhex(text)).integer()
        with self.assertRaises(DerError):
            Reader(bytes.fromhex("0302017f")).bits()
        with self.assertRaises(DerError):
            Reader(bytes.fromhex("010101")).boolean()

    def test_integers(self):
        for value in (0, 1, 127, 128, 255, 256, 1 << 63, (1 << 64) - 1):
            self.assertEqual(Reader(encode_integer(value)).integer(), value)


if __name__ == "__main__":
    program = unittest.main(exit=False, verbosity=0)
    sys.exit(not program.result.wasSuccessful())
