#!/usr/bin/env python3
"""An independent decoder: Python and `openssl`, written from docs/formats.md, sharing no code with the project.

    decode.py package DIR --anchor FILE [--receipt FILE --signing-key PEM]
                      [--bureau-key PEM] [--encryption-key PEM] [--password-file FILE]
                      [--root-components FILE] [--flip N]
    decode.py log DIR --anchor FILE
    decode.py samples DIR

`package` verifies a package under a pinned trust anchor; with the bureau's keys it decrypts the records
and unwraps every card key; with the root components it recomputes every card key and compares. With
--flip it then changes N single bits, one at a time, and expects each to be refused.
`log` checks an exported key log. `samples` reads documents by the first part of their file names.
Exit code 0: everything holds. 1: something does not, and the last line says what.
"""

import argparse
import collections
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import documents  # noqa: E402
import gm  # noqa: E402
import log  # noqa: E402
from der import DerError  # noqa: E402
from package import Package, Refused, check_chunk, chunk_file, read_anchor, read_signed, require  # noqa: E402


def read(path):
    """A file's bytes."""
    with open(path, "rb") as file:
        return file.read()


def read_folder(path):
    """Every file of a folder and the folders in it, by its path below."""
    found = {}
    for folder, _, names in os.walk(path):
        for name in names:
            whole = os.path.join(folder, name)
            found[os.path.relpath(whole, path).replace(os.sep, "/")] = read(whole)
    return dict(sorted(found.items()))


def read_components(path):
    """Root components: 32 hexadecimal digits each, one a line; # begins a comment."""
    lines = [line.split(b"#")[0].strip() for line in read(path).splitlines()]
    components = [bytes.fromhex(line.decode("ascii")) for line in lines if line]
    require(components and all(len(one) == 16 for one in components), "root components", "16 bytes each")
    return components


def say(text):
    """One line of the report."""
    print(text, flush=True)


def decode_package(options):
    """Verifies, opens, recomputes, and then tries to be fooled."""
    pinned = read(options.anchor)
    files = read_folder(options.folder)
    package = Package(files, pinned)
    manifest = package.manifest
    say(f"batch {manifest['batch'].hex()} for {manifest['bureau']}, counter {manifest['counter']}")
    say(f"signatures, digests, roots and log inclusion hold: {manifest['cards']} cards, {manifest['keys']} keys, "
        f"{len(package.chunks)} chunks")  # fmt: skip
    if options.receipt:
        check_receipt(package, read(options.receipt), options.signing_key)
    password = read(options.password_file).decode().strip("\r\n") if options.password_file else None
    records = opened = None
    if options.encryption_key:
        records = package.open_records(options.encryption_key, password)
        say(f"records decrypted, commitments open: {len(records)}")
    if options.bureau_key:
        _, opened = package.open_keys(options.bureau_key)
        checked = sum(slot["kcv"] is not None for card in package.cards() for slot in card["slots"])
        say(f"transport key opened, {sum(map(len, opened))} card keys unwrapped, {checked} check values agree")
    if options.root_components:
        require(records is not None and opened is not None, "options", "recomputing needs both of the bureau's keys")
        compare(package.recompute(read_components(options.root_components), records), opened, package.cards())
    if options.flip:
        flip(files, pinned, package, options)


def compare(recomputed, opened, cards):
    """Every card key, one by one."""
    wrong = collections.Counter()
    for card, ours, theirs in zip(cards, recomputed, opened, strict=True):
        for slot, a, b in zip(card["slots"], ours, theirs, strict=True):
            wrong[f"{slot['name']}/{slot['group']}"] += a != b
    bad = {name: count for name, count in wrong.items() if count}
    require(not bad, "card keys", f"not those of the root components: {bad}")
    distinct = {key for own in opened for key in own}
    total = sum(map(len, opened))
    require(len(distinct) == total, "card keys", "a key stands twice")
    say(f"recomputed from the root components: {total} of {total} card keys are equal, all distinct")


def check_receipt(package, data, signing_key):
    """The bureau's receipt for this very package."""
    if signing_key:
        receipt = read_signed("receipt", documents.receipt, data, signing_key_of(signing_key))
    else:
        receipt = documents.receipt(documents.signed(data)[0])
    manifest = package.manifest
    same = all(receipt[field] == manifest[field] for field in ("origin", "batch", "counter", "bureau", "root"))
    require(same, "receipt", "batch, counter or root differ from the manifest")
    require(receipt["manifest"] == gm.sm3(package.manifest_bytes), "receipt", "for another manifest")
    require(receipt["accepted"] + len(receipt["spoiled"]) == manifest["cards"], "receipt", "cards do not add up")
    require(receipt["spoiled"] == sorted(set(receipt["spoiled"])), "receipt", "spoiled cards are not in order")
    known = {card["commitment"] for card in package.cards()}
    require(known.issuperset(receipt["spoiled"]), "receipt", "a spoiled card is not of this batch")
    proved = "signature holds" if signing_key else "signature not checked: no key given"
    say(f"receipt: {receipt['accepted']} accepted, {len(receipt['spoiled'])} spoiled ({proved})")


def signing_key_of(path):
    """A public key from a PEM file that holds a public key, a certificate or a DER certificate."""
    data = read(path)
    if b"BEGIN PUBLIC KEY" in data:
        return gm.openssl("pkey", "-pubin", "-pubout", "-outform", "DER", data=data)[1]
    if b"BEGIN CERTIFICATE" in data:
        data = gm.openssl("x509", "-outform", "DER", data=data)[1]
    return gm.public_key_of_certificate(data)


def flip(files, pinned, package, options):
    """Single bits of every file, then what only the inner layers can catch."""
    chance = random.Random(20121)
    parts = collections.Counter()
    for number in range(options.flip):
        name = package.parts[number % len(package.parts)]
        damaged = bytearray(files[name])
        bit = chance.randrange(8 * len(damaged))
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            Package({**files, name: bytes(damaged)}, pinned)
        except Refused as refused:
            parts[refused.part] += 1
        else:
            raise Refused(name, f"bit {bit} was flipped and nobody noticed")
    for name in package.parts:
        for wrong in (None, files[name][:-1], files[name] + b"\0"):
            changed = {key: value for key, value in files.items() if key != name}
            if wrong is not None:
                changed[name] = wrong
            expect_refusal(lambda changed=changed: Package(changed, pinned), f"{name} cut, longer or missing")
            parts["sizes"] += 1
    parts["inner layers"] = flip_inside(files, package, options, chance)
    say(f"refused, as it must be: {sum(parts.values())} changes ({', '.join(f'{n} {p}' for p, n in parts.items())})")


def flip_inside(files, package, options, chance):
    """Changes that somebody made who could also correct the digest of the chunk file."""
    manifest, count = package.manifest, 0
    for entry in manifest["chunks"]:
        data = files[chunk_file(entry["index"])]
        chunk = documents.chunk(data)
        first, last = chunk["cards"][0], chunk["cards"][-1]
        slots = first["slots"]
        swaps = [(slots[0]["wrapped"], slots[1]["wrapped"]), (slots[0]["wrapped"], last["slots"][0]["wrapped"])]
        for one, other in swaps:
            if one != other:
                changed = swap(data, one, other)
                expect_refusal(lambda c=changed, e=entry: check_chunk(manifest, e, c, False), "swapped card keys")
                count += 1
        place = data.index(first["der"]) + chance.randrange(len(first["der"]))
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        expect_refusal(lambda c=changed, e=entry: check_chunk(manifest, e, c, False), "a changed card")
        count += 1
    if options.encryption_key and len(package.chunks) > 1:
        one, other = package.chunks[0], package.chunks[1]
        for field in ("records", "data_key", "nonce"):
            one[field], other[field] = other[field], one[field]
        password = read(options.password_file).decode().strip("\r\n") if options.password_file else None
        expect_refusal(lambda: package.open_records(options.encryption_key, password), "records of another chunk")
        count += 1
    return count


def swap(data, one, other):
    """Two byte strings of the same length change places, where each first stands."""
    a, b = data.index(one), data.index(other)
    changed = bytearray(data)
    changed[a : a + len(one)], changed[b : b + len(one)] = other, one
    return bytes(changed)


def expect_refusal(attempt, what):
    """Fails when the attempt succeeds."""
    try:
        attempt()
    except Refused:
        return
    raise Refused("decoder", f"{what}: nobody noticed")


def check_log(options):
    """An exported log, entry by entry."""
    anchor = read_anchor(read(options.anchor))
    for line in log.check(options.folder, anchor):
        say(line)


SIGNED = ("approval", "trust_anchor", "sealed_keys", "import_receipt", "bureau_application", "component",
          "batch_request", "manifest", "receipt", "enrolment")  # fmt: skip


def read_samples(options):
    """Documents by kind: the file name up to the first dot."""
    kinds = collections.Counter()
    for name, data in read_folder(options.folder).items():
        kind = name.split(".")[0]
        try:
            if kind in SIGNED:
                data = documents.signed(data)[0]
            getattr(documents, kind)(data if kind != "note" else data.decode())
        except (DerError, ValueError) as error:
            raise Refused(name, str(error)) from error
        kinds[kind] += 1
    say(f"{sum(kinds.values())} documents of {len(kinds)} kinds read")


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("package")
    command.add_argument("folder")
    for name in ("anchor", "receipt", "signing-key", "bureau-key", "encryption-key", "password-file", "root-components"):
        command.add_argument(f"--{name}", required=name == "anchor")
    command.add_argument("--flip", type=int, default=0)
    command.set_defaults(run=decode_package)
    command = commands.add_parser("log")
    command.add_argument("folder")
    command.add_argument("--anchor", required=True)
    command.set_defaults(run=check_log)
    command = commands.add_parser("samples")
    command.add_argument("folder")
    command.set_defaults(run=read_samples)
    options = parser.parse_args()
    try:
        options.run(options)
    except (Refused, gm.CryptoError, OSError) as error:
        say(f"REFUSED {error}")
        return 1
    say("OK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
