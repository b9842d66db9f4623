"""An exported key log: entries, tree, checkpoint, and who approved what. docs/formats.md sections 3 to 6 and 10.

Not the whole state machine (that is `kms audit verify`): what anybody can check with little code. Every
entry is of this log and in its place, the tree has the signed root, every document that an entry
names is there, every approval is signed by a founding officer, every step had its quorum.
"""

import collections
import os

import documents
import gm
from der import DerError
from package import Refused, read_note, read_signed, require

ENTRIES, CHECKPOINT, DOCUMENTS = "entries.der", "checkpoint.txt", "documents"


class Log:
    """The entries of an export, checked one after the other."""

    def __init__(self, folder, anchor):
        self.folder, self.anchor = folder, anchor
        self.leaves, self.events = [], collections.Counter()
        self.last_ms, self.people, self.plans = 0, {}, {}
        self.approvals = collections.defaultdict(set)
        self.manifests, self.chunks = {}, collections.defaultdict(dict)

    def document(self, digest):
        """A document of the export, by its digest."""
        path = os.path.join(self.folder, DOCUMENTS, f"{digest.hex()}.der")
        require(os.path.exists(path), f"document {digest.hex()[:16]}", "missing")
        with open(path, "rb") as file:
            data = file.read()
        require(gm.sm3(data) == digest, f"document {digest.hex()[:16]}", "another digest than its name")
        return data

    def take(self, data):
        """One entry."""
        part = f"entry {len(self.leaves)}"
        try:
            entry = documents.log_entry(data)
        except (DerError, UnicodeDecodeError) as error:
            raise Refused(part, str(error)) from error
        require(entry["index"] == len(self.leaves), part, f"says it is entry {entry['index']}")
        require(entry["origin"] == gm.sm3(self.anchor["origin"].encode()), part, "of another log")
        require(entry["time_ms"] >= self.last_ms, part, "before the entry before it")
        self.last_ms = entry["time_ms"]
        self.leaves.append(gm.sm3(b"\x00", data))
        name, event = entry["event"]
        self.events[name] += 1
        handler = getattr(self, "_" + name.replace("-", "_"), None)
        if handler:
            handler(part, entry, event)

    def _founded(self, part, _entry, event):
        plan = documents.plan(self.document(event["plan"]))
        self.plans[event["plan"]] = plan
        require(event["plan"] == self.anchor["genesis"], part, "not the genesis of the anchor")
        (_, founding), _ = plan["steps"]
        require(founding["suite"] == self.anchor["suite"], part, "founded in another suite than the anchor's keys")
        self.people = {person["id"]: person for person in founding["people"]}
        officers = [person for person in founding["people"] if person["role"] == "security"]
        require(len(officers) == len(event["approvals"]), part, "not one approval of each founder")
        for person, digest in zip(officers, event["approvals"]):
            self._approve(part, event["plan"], digest, person["id"], "approve")

    def _approve(self, part, plan, digest, officer, decision):
        require(officer in self.people, part, f"{officer} is not on the roster")
        key = self.people[officer]["key"]
        approval = read_signed(part, documents.approval, self.document(digest), key)
        require(approval["plan"] == plan, part, "an approval of another plan")
        require(approval["origin"] == self.anchor["origin"], part, "an approval for another instance")
        require((approval["officer"], approval["decision"]) == (officer, decision), part, "another officer or decision")
        if decision == "approve" and self.plans[plan]["requester"] != f"person:{officer}":
            self.approvals[plan].add(officer)

    def _opened(self, part, entry, event):
        plan = documents.plan(self.document(event["plan"]))
        require(plan["origin"] == self.anchor["origin"], part, "a plan for another instance")
        require(plan["opened_size"] == entry["index"], part, "a plan opened at another size")
        require(plan["opened_root"] == gm.merkle_root(self.leaves[:-1]), part, "a plan opened over another log")
        self.plans[event["plan"]] = plan

    def _decided(self, part, entry, event):
        require(event["plan"] in self.plans, part, "no such plan")
        officer = entry["actor"].removeprefix("person:")
        self._approve(part, event["plan"], event["approval"], officer, event["decision"])

    def _quorum(self, part, entry, plan_id):
        plan = self.plans.get(plan_id)
        require(plan is not None, part, "no such plan")
        found = len(self.approvals[plan_id])
        require(found >= max(2, plan["approvals"]), part, f"an effect with {found} approvals")
        require(entry["time_ms"] < plan["expires_ms"], part, "an effect of an expired plan")

    def _step_intent(self, part, entry, event):
        self._quorum(part, entry, event["plan"])

    _step_outcome = _step_intent

    def _chunk_outcome(self, part, _entry, event):
        chunks = self.chunks[event["batch"]]
        require(event["chunk"] not in chunks, part, "a chunk with two outcomes")
        chunks[event["chunk"]] = event

    def _batch_released(self, part, _entry, event):
        key = self.anchor["instance_key"]
        manifest = read_signed(part, documents.manifest, self.document(event["manifest"]), key)
        made = self.chunks[event["batch"]]
        require(sorted(made) == list(range(len(manifest["chunks"]))), part, "chunks without outcome")
        for listed in manifest["chunks"]:
            same = all(listed[field] == made[listed["index"]][field] for field in ("cards", "bytes", "digest", "root"))
            require(same, part, f"chunk {listed['index']} differs from its outcome")
        require(event["batch"] not in self.manifests, part, "a second manifest")
        self.manifests[event["batch"]] = manifest


def check(folder, anchor):
    """Yields lines of a report; refuses what does not hold."""
    log = Log(folder, anchor)
    with open(os.path.join(folder, ENTRIES), "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        length = _length(data, at, len(log.leaves))
        log.take(data[at : at + length])
        at += length
    with open(os.path.join(folder, CHECKPOINT), "rb") as file:
        note = read_note("checkpoint", file.read().decode("utf-8"), anchor)
    require(note["size"] == len(log.leaves), "checkpoint", f"signs {note['size']} entries, found {len(log.leaves)}")
    require(note["root"] == gm.merkle_root(log.leaves), "checkpoint", "the entries have another root")
    yield f"log of {anchor['origin']}: {len(log.leaves)} entries under the signed root"
    yield f"events: {', '.join(f'{count} {name}' for name, count in sorted(log.events.items()))}"
    yield f"approvals and quorum hold for {len(log.plans)} plans, chunks and manifests agree for {len(log.manifests)} batches"


def _length(data, at, number):
    """Bytes of the SEQUENCE that begins here."""
    part = f"entry {number}"
    require(at + 2 <= len(data) and data[at] == 0x30, part, "not a SEQUENCE")
    length, size = data[at + 1], 2
    if length >= 0x80:
        count = length & 0x7F
        length, size = int.from_bytes(data[at + 2 : at + 2 + count], "big"), 2 + count
    require(at + size + length <= len(data), part, "cut off")
    return size + length
