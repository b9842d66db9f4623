"""A package: verify it, open it, recompute its keys. Written from docs/formats.md sections 6, 8 and 9.

Three steps, each needing more than the one before: `verify` the trust anchor only, `open_keys` the
bureau's private keys, `recompute` the root components. Every refusal names the part.
"""

import tomllib

import documents
import gm
import suite
from der import DerError


class Refused(Exception):
    """A part of the package does not hold."""

    def __init__(self, part, reason):
        super().__init__(f"{part}: {reason}")
        self.part = part


def require(holds, part, reason):
    """Refuses when the statement does not hold."""
    if not holds:
        raise Refused(part, reason)


def _read(part, read, data):
    try:
        return read(data)
    except (DerError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Refused(part, str(error)) from error


def read_signed(part, read, data, key=None):
    """Content of a signed document whose signature verifies with `key`, or with a key of its own."""
    tbs, signature, algorithm = _read(part, documents.signed, data)
    content = _read(part, read, tbs)
    key = key(content) if callable(key) else key
    try:
        suite.verify(key, algorithm, tbs, signature)
    except gm.CryptoError as error:
        raise Refused(part, str(error)) from error
    return content


def read_anchor(data):
    """A trust anchor that is signed by its own instance key."""
    anchor = read_signed("trust anchor", documents.trust_anchor, data, lambda anchor: anchor["instance_key"])
    anchor["suite"] = _read("trust anchor", suite.suite_of, anchor)
    return anchor


def read_note(part, text, anchor):
    """A checkpoint note of the anchor's log."""
    note = _read(part, documents.note, text)
    require(note["origin"] == anchor["origin"], part, "the checkpoint of another log")
    name, key_id, signature = note["signatures"][0]
    require(name == anchor["origin"], part, "the first signature is not the log's")
    point = anchor["log_key"][-65:]
    kind = suite.CHECKPOINT_TYPES[suite.kind_of(anchor["log_key"])]
    expected = gm.sm3(name.encode(), b"\n\xff", kind, point)[:4]
    require(key_id == expected, part, "signed with another key")
    try:
        suite.verify(anchor["log_key"], None, note["text"], signature)
    except gm.CryptoError as error:
        raise Refused(part, str(error)) from error
    return note


def check_chunk(listed, entry, data, check_digest=True):
    """One chunk file against its row of the manifest."""
    part = f"chunk {entry['index']}"
    if check_digest:
        require(len(data) == entry["bytes"], part, "another length than in the manifest")
        require(gm.sm3(data) == entry["digest"], part, "another digest than in the manifest")
    chunk = _read(part, documents.chunk, data)
    require(chunk["batch"] == listed["batch"], part, "of another batch")
    require((chunk["index"], chunk["count"]) == (entry["index"], len(listed["chunks"])), part, "in another place")
    require(len(chunk["cards"]) == entry["cards"], part, "another number of cards")
    size = {"rfc3394": 24, "ecb": 16}[listed["wrap"]]
    sized = all(len(slot["wrapped"]) == size for card in chunk["cards"] for slot in card["slots"])
    require(sized, part, "a wrapped key of another length than the manifest's wrap makes")
    leaves = [documents.card_leaf(listed, card) for card in chunk["cards"]]
    require(gm.merkle_root(leaves) == entry["root"], part, "the card leaves do not give the root")
    return chunk


def chunk_file(index):
    """Name of a chunk's file within the package."""
    return f"chunks/{index:05}.der"


class Package:
    """A package that verifies under the pinned trust anchor."""

    def __init__(self, files, pinned):
        self.anchor = read_anchor(pinned)
        self.cipher = suite.Cipher(self.anchor["suite"])
        key = self.anchor["instance_key"]
        self.manifest_bytes = self._file(files, "manifest.der")
        self.manifest = read_signed("manifest.der", documents.manifest, self.manifest_bytes, key)
        self._check_manifest()
        self._check_transport_key(self._file(files, "transport-key.der"))
        self._check_proof(self._file(files, "proof.der"))
        names = [chunk_file(entry["index"]) for entry in self.manifest["chunks"]]
        self.chunks = [
            check_chunk(self.manifest, entry, self._file(files, name))
            for entry, name in zip(self.manifest["chunks"], names)
        ]
        keys = sum(len(card["slots"]) for chunk in self.chunks for card in chunk["cards"])
        require(keys == self.manifest["keys"], "manifest.der", "another number of keys than in the chunks")
        self._check_profile(self._file(files, "profile.toml"))
        self.parts = ["manifest.der", "transport-key.der", "proof.der", "profile.toml", *names]

    @staticmethod
    def _file(files, name):
        require(name in files, name, "missing")
        return files[name]

    def _check_manifest(self):
        manifest, part = self.manifest, "manifest.der"
        require(manifest["origin"] == self.anchor["origin"], part, "another origin than the anchor")
        chunks = manifest["chunks"]
        require([entry["index"] for entry in chunks] == list(range(len(chunks))), part, "chunks out of order")
        require(sum(entry["cards"] for entry in chunks) == manifest["cards"], part, "numbers of cards do not add up")
        leaves = [gm.sm3(b"\x00", entry["root"]) for entry in chunks]
        require(gm.merkle_root(leaves) == manifest["root"], part, "chunk roots do not give the root")
        read_note("manifest.der (checkpoint)", manifest["checkpoint"], self.anchor)

    def _check_profile(self, data):
        part = "profile.toml"
        require(gm.sm3(data) == self.manifest["profile"], part, "another digest than in the manifest")
        profile = tomllib.loads(data.decode("utf-8"))
        require(profile["id"] == self.manifest["profile_id"], part, "another profile")
        algorithms = {key.get("algorithm", profile.get("defaults", {}).get("algorithm", "sm4")) for key in profile["keys"]}
        require(len(algorithms) == 1, part, "keys of more than one algorithm")
        # SM1 is not public: nobody outside an HSM computes its check values.
        self.computable = algorithms == {"sm4"}
        expected = [
            (key["name"], group, key["package_kcv"] != "none")
            for key in profile["keys"]
            for group in range(1, key["groups"] + 1)
        ]
        for card in self.cards():
            found = [(slot["name"], slot["group"], slot["kcv"] is not None) for slot in card["slots"]]
            require(found == expected, part, "a card has other slots than the profile says")

    def _check_transport_key(self, data):
        part, manifest = "transport-key.der", self.manifest
        sealed = read_signed(part, documents.sealed_keys, data, self.anchor["instance_key"])
        require(sealed["origin"] == manifest["origin"], part, "another origin")
        require(sealed["purpose"] == "transport-key", part, "another purpose")
        require(sealed["destination"] == manifest["bureau"], part, "for another bureau")
        require(len(sealed["keys"]) == 1, part, "not one key")
        (self.sealed_kek,) = sealed["keys"]
        self.sealed_to = sealed["recipient_key"]
        same = self.sealed_kek["id"] == manifest["kek"] and self.sealed_kek["kcv"] == manifest["kek_kcv"]
        require(same, part, "not the transport key of the manifest")

    def _check_proof(self, data):
        part = "proof.der"
        proof = _read(part, documents.inclusion, data)
        note = read_note(part, proof["checkpoint"], self.anchor)
        require(note["size"] == proof["size"], part, "of another tree size than its checkpoint")
        try:
            leaf = gm.sm3(b"\x00", proof["entry"])
            gm.verify_inclusion(leaf, proof["index"], proof["size"], proof["path"], note["root"])
        except gm.CryptoError as error:
            raise Refused(part, str(error)) from error
        entry = _read(part, documents.log_entry, proof["entry"])
        require(entry["index"] == proof["index"], part, "the entry has another index")
        require(entry["origin"] == gm.sm3(self.anchor["origin"].encode()), part, "an entry of another log")
        name, event = entry["event"]
        require(name == "batch-released", part, f"the entry is {name}")
        manifest = self.manifest
        require(event["manifest"] == gm.sm3(self.manifest_bytes), part, "the entry names another manifest")
        same = all(event[field] == manifest[field] for field in ("batch", "root", "cards", "keys"))
        require(same, part, "batch, root or counts differ from the manifest")

    def cards(self):
        """Every card in order."""
        return [card for chunk in self.chunks for card in chunk["cards"]]

    def open_records(self, encryption_key, password=None):
        """Decrypts the records of every chunk; opens every commitment."""
        require(
            gm.sm3(gm.public_key_of(encryption_key, password)) == self.manifest["encryption_key"],
            "records", "the encryption key is not the one of the manifest",
        )  # fmt: skip
        found = []
        for chunk in self.chunks:
            part = f"chunk {chunk['index']} (records)"
            try:
                key = gm.sm2_decrypt(encryption_key, chunk["data_key"], password)
                place = (self.manifest["batch"], self.manifest["bureau"], chunk["index"], chunk["count"])
                plain = gm.sm4_gcm_open(key, chunk["nonce"], chunk["records"], documents.records_context(*place))
            except gm.CryptoError as error:
                raise Refused(part, str(error)) from error
            records = _read(part, documents.card_records, plain)["cards"]
            require(len(records) == len(chunk["cards"]), part, "another number of records than cards")
            for record, card in zip(records, chunk["cards"]):
                require(documents.commitment(record) == card["commitment"], part, "a commitment does not open")
            found += records
        numbers = {(record["number"], record["factor"]) for record in found}
        require(len(numbers) == len(found), "records", "a card stands twice")
        return found

    def open_keys(self, bureau_key, password=None):
        """The transport key and every card key, card by card."""
        part = "transport-key.der"
        require(gm.sm3(gm.public_key_of(bureau_key, password)) == self.sealed_to, part, "sealed to another key")
        kek = suite.unseal(bureau_key, self.sealed_kek["ciphertext"], password)
        method = self.sealed_kek["kcv"].split(":")[0]
        computed = f"{method}:{self.cipher.check_value(kek, method).hex()}"
        require(len(kek) == 16 and computed == self.sealed_kek["kcv"], part, "the check value differs")
        cards = self.cards()
        blobs = [slot["wrapped"] for card in cards for slot in card["slots"]]
        try:
            keys = iter(self.cipher.unwrap_all(kek, blobs, self.manifest["wrap"]))
        except gm.CryptoError as error:
            raise Refused("card keys", str(error)) from error
        opened = [[next(keys) for _ in card["slots"]] for card in cards]
        for card, own in zip(cards, opened):
            for slot, key in zip(card["slots"], own):
                if slot["kcv"] is not None and self.computable:
                    method, value = slot["kcv"].split(":")
                    same = self.cipher.check_value(key, method).hex() == value
                    require(same, f"{slot['name']}/{slot['group']}", "the check value differs")
        return kek, opened

    def recompute(self, components, records):
        """Every card key from the root components: the same shape as `open_keys` answers."""
        require(self.anchor["suite"] == "sm" and self.computable, "card keys", "only SM4 keys come from components")
        return recompute(components, self.manifest["profile_id"], self.anchor["region"], self.cards(), records)


def block_of(factor):
    """F ‖ ~F."""
    return factor + bytes(byte ^ 0xFF for byte in factor)


def national_master(components, profile_id, name, group):
    """From the root components."""
    seed = bytes(16)
    for component in components:
        seed = gm.xor(seed, component)
    text = b"\x00".join([b"KMS-MASTER/1", profile_id.encode("ascii"), name.encode("ascii"), bytes([group])])
    return gm.sm4_ecb(seed, gm.sm3(text)[:16])


def provincial_master(components, profile_id, name, group, region):
    """From the root components, for one province."""
    factor = region[:2].encode("ascii") + b"000000"
    return gm.sm4_ecb(national_master(components, profile_id, name, group), block_of(factor))


def recompute(components, profile_id, region, cards, records):
    """Every card key from the root components, card by card."""
    blocks = b"".join(block_of(record["factor"]) for record in records)
    columns = {}
    for card in cards:
        for slot in card["slots"]:
            place = (slot["name"], slot["group"])
            if place not in columns:
                master = provincial_master(components, profile_id, *place, region)
                columns[place] = gm.sm4_ecb(master, blocks)
    return [
        [columns[slot["name"], slot["group"]][16 * row : 16 * row + 16] for slot in card["slots"]]
        for row, card in enumerate(cards)
    ]
