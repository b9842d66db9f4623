#!/usr/bin/env python3
"""A signed GET request with Python and `openssl`, written from docs/formats.md section 13.

    request.py URL TARGET KEY.pem PASSWORD_FILE

Prints status and body.
"""

import base64
import http.client
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gm  # noqa: E402
from der import Reader  # noqa: E402


def sign(key, password, message):
    """r and s of an SM2 signature, 64 bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(message)
        file.flush()
        signature = gm.openssl(
            "pkeyutl", "-sign", "-inkey", key, "-passin", f"pass:{password}", "-rawin", "-digest", "sm3",
            "-in", file.name, "-pkeyopt", f"distid:{gm.SIGNER_ID}",
        )[1]  # fmt: skip
    pair = Reader(signature).sequence()
    return b"".join(pair.integer().to_bytes(32, "big") for _ in range(2))


def headers(target, key, password):
    """The three headers of a GET request without body."""
    path, _, query = target.partition("?")
    digest = "sm3=:" + base64.b64encode(gm.sm3(b"")).decode() + ":"
    created, nonce = int(time.time()), os.urandom(16).hex()
    key_id = gm.sm3(gm.public_key_of(key, password)).hex()
    parameters = (
        '("@method" "@path" "@query" "content-digest")'
        f';created={created};expires={created + 60};nonce="{nonce}";keyid="{key_id}";alg="sm2-sm3"'
    )
    lines = [
        '"@method": GET', f'"@path": {path}', f'"@query": ?{query}', f'"content-digest": {digest}',
        f'"@signature-params": {parameters}',
    ]  # fmt: skip
    signature = sign(key, password, "\n".join(lines).encode())
    return {
        "Content-Digest": digest,
        "Signature-Input": f"kms={parameters}",
        "Signature": f"kms=:{base64.b64encode(signature).decode()}:",
    }


def main():
    """Command line."""
    url, target, key, password_file = sys.argv[1:]
    with open(password_file, encoding="utf-8") as file:
        password = file.read().strip("\r\n")
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("GET", target, headers=headers(target, key, password))
    answer = connection.getresponse()
    print(answer.status, flush=True)
    sys.stdout.buffer.write(answer.read())


if __name__ == "__main__":
    main()
