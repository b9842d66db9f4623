"""The documents of docs/formats.md, one function each: bytes in, a dictionary out.

Not verification of what they say: that is decode.py. Guards: label, fields, order and sizes are
exactly those of the page.
"""

import base64
import re

import gm
import suite
from der import DerError, Reader, encode_integer, encode_octets, encode_sequence, encode_utf8


def _labelled(reader, label):
    found = reader.utf8()
    if found != label:
        raise DerError(f"expected a document {label}, found {found}")


def _digest(reader):
    return reader.octets(32)


def _id(reader):
    return reader.octets(16)


def _public_key(reader):
    whole, _ = reader.tlv(0x30)
    suite.kind_of(whole)
    return whole


def _sm2_key(reader):
    whole = _public_key(reader)
    if suite.kind_of(whole) != "sm2":
        raise DerError("not an SM2 key")
    return whole


def _suite(reader):
    return reader.enumerated("sm", "intl")


def _wrap(reader):
    return reader.enumerated("rfc3394", "ecb")


def _algorithm(reader):
    return reader.enumerated("sm4", "sm1", "aes-128")


def _kcv(reader):
    inner = reader.sequence()
    method, value = inner.utf8(), inner.octets()
    inner.end()
    if len(value) != {"ecb3": 3, "cmac5": 5}.get(method):
        raise DerError("check value")
    return f"{method}:{value.hex()}"


def _environment(reader):
    return reader.enumerated("production", "test")


def _level(reader):
    return reader.enumerated("national", "provincial")


def _role(reader):
    return reader.enumerated("system", "security", "audit")


def _record(*fields):
    """A reader of a SEQUENCE with these (name, read) fields."""

    def read(reader):
        inner = reader.sequence()
        value = {name: read_field(inner) for name, read_field in fields}
        inner.end()
        return value

    return read


def _list(read):
    return lambda reader: reader.each(read)


def _maybe(number, read):
    return lambda reader: reader.optional(number, read)


_utf8 = Reader.utf8
_integer = Reader.integer
_octets = Reader.octets


def _document(label, *fields):
    """A function from bytes to the dictionary of a whole document."""

    def read(data):
        outer = Reader(data)
        inner = outer.sequence()
        outer.end()
        _labelled(inner, label)
        value = {name: read_field(inner) for name, read_field in fields}
        inner.end()
        return value

    return read


def signed(data):
    """(tbs bytes, signature DER, algorithm) of a signed document."""
    outer = Reader(data)
    inner = outer.sequence()
    outer.end()
    tbs, _ = inner.tlv(0x30)
    algorithm, _ = inner.tlv(0x30)
    if algorithm not in (gm.SM2_WITH_SM3, suite.ECDSA_WITH_SHA256):
        raise DerError("the algorithm is neither sm2-with-sm3 nor ecdsa-with-SHA256")
    signature = inner.bits()
    inner.end()
    pair = Reader(signature)
    numbers = pair.sequence()
    pair.end()
    numbers.integer()
    numbers.integer()
    numbers.end()
    return tbs, signature, algorithm


# Section 3 -------------------------------------------------------------------------------------

_MASTER = _record(("name", _utf8), ("group", _integer), ("version", _integer), ("id", _id), ("kcv", _maybe(0, _kcv)))
_MASTERS = ("masters", _list(_MASTER))
_PROFILE = (("profile_id", _utf8), ("profile", _digest))
_RULE = _record(("operation", _utf8), ("approvals", _integer), ("validity_ms", _integer), ("max_log_span", _integer))
_PERSON = _record(("id", _utf8), ("name", _utf8), ("role", _role), ("key", _sm2_key))


def _reason(reader):
    return reader.enumerated("left", "key-lost", "key-compromised", "misconduct")


def _reserved(_reader):
    raise DerError("no such alternative")


STEPS = [
    ("found-instance", _record(
        ("level", _level), ("region", _utf8), ("suite", _suite), ("policy", _digest), ("rules", _list(_RULE)),
        ("cards_max", _integer), ("chunk_cards", _integer), ("people", _list(_PERSON)))),
    ("create-instance-keys", _record(
        ("log", _id), ("instance", _id), ("import", _id), ("index", _id), ("storage", _id),
        ("component_import", _maybe(0, _id)))),
    ("create-masters", _record(
        *_PROFILE, ("algorithm", _algorithm), ("custodians", _list(_record(("person", _utf8), ("kcv", _kcv)))),
        ("transferable", Reader.boolean), _MASTERS)),
    ("trust-province", _record(("region", _utf8), ("anchor", _octets), ("recipient", _id))),
    ("seal-masters", _record(("region", _utf8), *_PROFILE, ("recipient", _id), _MASTERS)),
    ("trust-nation", _record(("anchor", _octets))),
    ("import-masters", _record(
        *_PROFILE, ("algorithm", _algorithm), ("sealed", _digest), ("transferable", Reader.boolean), _MASTERS)),
    ("trust-bureau", _record(
        ("bureau", _utf8), ("application", _octets), ("recipient", _id), ("kek", _id), ("wrap", _wrap),
        ("valid_until_ms", _integer))),
    ("seal-transport-key", _record(("bureau", _utf8), ("recipient", _id), ("kek", _id))),
    ("issue-batch", _record(
        ("batch", _id), ("counter", _integer), ("bureau", _utf8), ("request", _digest), *_PROFILE,
        ("cards", _integer), ("replacements", _integer), ("list", _digest), ("chunk_cards", _integer),
        ("kek", _id), ("kek_kcv", _kcv))),
    ("reserved-10", _reserved),
    ("reserved-11", _reserved),
    ("accept-risk", _record(
        ("model", _utf8), ("firmware", _utf8), ("map", _digest), ("attacks", _list(_integer)), ("reason", _utf8),
        ("valid_until_ms", _integer))),
    ("enrol-person", _record(("person", _utf8), ("enrolment", _octets))),
    ("revoke-person", _record(("person", _utf8), ("reason", _reason))),
    ("change-person-key", _record(("person", _utf8), ("reason", _reason), ("enrolment", _octets))),
    ("change-policy", _record(
        ("policy", _digest), ("rules", _list(_RULE)), ("cards_max", _integer), ("chunk_cards", _integer))),
]  # fmt: skip

plan = _document(
    "KMS-CEREMONY-PLAN/1",
    ("origin", _utf8), ("environment", _environment), ("nonce", _id), ("requester", _utf8),
    ("policy_epoch", _integer), ("approvals", _integer), ("opened_size", _integer), ("opened_root", _digest),
    ("not_before_ms", _integer), ("expires_ms", _integer), ("max_log_span", _integer), ("hsm_serial", _utf8),
    ("steps", _list(lambda reader: reader.choice(STEPS))),
    ("script", _maybe(0, _digest)), ("parent", _maybe(1, _digest)),
)  # fmt: skip

# Section 4 -------------------------------------------------------------------------------------


def _decision(reader):
    return reader.enumerated("approve", "reject")


approval = _document(
    "KMS-APPROVE/1", ("origin", _utf8), ("plan", _digest), ("officer", _utf8), ("role", _role),
    ("decision", _decision), ("sequence", _integer),
)  # fmt: skip

# Section 5 -------------------------------------------------------------------------------------

_KEY_RECORD = _record(
    ("name", _utf8), ("group", _integer), ("version", _integer),
    ("id", _maybe(0, _id)), ("kcv", _maybe(1, _kcv)), ("public", _maybe(2, _public_key)),
)  # fmt: skip

EVENTS = [
    ("founded", _record(("origin", _utf8), ("plan", _digest), ("approvals", _list(_digest)))),
    ("started", _record(("build", _utf8), ("configuration", _digest), ("anchor", _maybe(0, _digest)))),
    ("opened", _record(("plan", _digest))),
    ("decided", _record(("plan", _digest), ("approval", _digest), ("decision", _decision))),
    ("contributed", _record(("plan", _digest), ("component", _digest))),
    ("step-intent", _record(("plan", _digest), ("step", _integer), ("parameters", _digest), ("hsm_serial", _utf8))),
    ("step-outcome", _record(
        ("plan", _digest), ("step", _integer), ("result", lambda r: r.enumerated("ok", "failed")),
        ("keys", _list(_KEY_RECORD)), ("document", _maybe(0, _digest)), ("fault", _maybe(1, _utf8)))),
    ("closed", _record(
        ("plan", _digest), ("closing", lambda r: r.enumerated("done", "rejected", "aborted", "expired")))),
    ("batch-requested", _record(("batch", _id), ("bureau", _utf8), ("request", _digest), ("plan", _digest))),
    ("chunk-intent", _record(
        ("batch", _id), ("chunk", _integer), ("token", _integer), ("cards", _integer), ("hsm_serial", _utf8))),
    ("chunk-outcome", _record(
        ("batch", _id), ("chunk", _integer), ("token", _integer), ("cards", _integer), ("keys", _integer),
        ("bytes", _integer), ("digest", _digest), ("root", _digest))),
    ("batch-released", _record(
        ("batch", _id), ("manifest", _digest), ("root", _digest), ("cards", _integer), ("keys", _integer))),
    ("batch-acknowledged", _record(
        ("batch", _id), ("receipt", _digest), ("accepted", _integer), ("spoiled", _integer))),
    ("batch-cancelled", _record(("batch", _id))),
    ("hand-over-confirmed", _record(("plan", _digest), ("receipt", _digest))),
    ("refused", _record(("operation", _utf8), ("code", _utf8), ("count", _integer), ("subject", _maybe(0, _octets)))),
    ("authorised", _record(("plan", _digest), ("persons", _list(_utf8)))),
    ("paused", _record(("plan", _digest), ("reason", lambda r: r.enumerated("quorum", "clock", "hsm", "officer")))),
    ("token-audited", _record(
        ("hsm_serial", _utf8), ("snapshot", _digest), ("objects", _integer), ("keys", _integer),
        ("differences", _integer), ("differing", _list(_record(
            ("id", _octets), ("kind", lambda r: r.enumerated("missing", "duplicate", "wrong", "unknown"))))))),
    ("token-probed", _record(
        ("hsm_serial", _utf8), ("model", _utf8), ("firmware", _utf8), ("map", _digest), ("open", _list(_integer)),
        ("untried", _list(_integer)), ("failed", _list(_utf8)))),
]  # fmt: skip

log_entry = _document(
    "KMS-LOG-ENTRY/1",
    ("index", _integer), ("origin", _digest), ("sequence", _integer), ("time_ms", _integer), ("actor", _utf8),
    ("role", _maybe(0, _role)), ("event", lambda reader: reader.choice(EVENTS, 1)),
)  # fmt: skip

# Section 6 -------------------------------------------------------------------------------------

inclusion = _document(
    "KMS-INCLUSION/1", ("entry", _octets), ("index", _integer), ("size", _integer), ("path", _list(_digest)),
    ("checkpoint", _utf8),
)  # fmt: skip

_LINE = re.compile("\u2014 ([!-*,-~]{1,255}) ([A-Za-z0-9+/]+={0,2})")


def note(text):
    """The parts of a checkpoint note; the log's signature is the first."""
    signed_text, separator, lines = text.partition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise DerError("not a checkpoint note")
    first = (signed_text + "\n").split("\n")
    if len(first) != 4 or not re.fullmatch("0|[1-9][0-9]*", first[1]):
        raise DerError("not the three lines of a checkpoint")
    root = base64.b64decode(first[2], validate=True)
    if len(root) != 32 or base64.b64encode(root).decode() != first[2]:
        raise DerError("root of the checkpoint")
    signatures = []
    for line in lines[:-1].split("\n"):
        match = _LINE.fullmatch(line)
        if not match:
            raise DerError("signature line of the checkpoint")
        blob = base64.b64decode(match[2], validate=True)
        if base64.b64encode(blob).decode() != match[2]:
            raise DerError("base64 of the checkpoint")
        signatures.append((match[1], blob[:4], blob[4:]))
    return {
        "origin": first[0], "size": int(first[1]), "root": root,
        "text": (signed_text + "\n").encode(), "signatures": signatures,
    }  # fmt: skip


# Section 7 -------------------------------------------------------------------------------------

enrolment = _document("KMS-ENROLMENT/1", ("origin", _utf8), ("person", _PERSON), ("created_ms", _integer))

trust_anchor = _document(
    "KMS-TRUST-ANCHOR/1", ("origin", _utf8), ("environment", _environment), ("level", _level), ("region", _utf8),
    ("genesis", _digest), ("hsm_serial", _utf8), ("log_key", _public_key), ("instance_key", _public_key),
    ("import_key", _public_key), ("component_key", _maybe(0, _public_key)),
)  # fmt: skip

sealed_keys = _document(
    "KMS-SEALED-KEYS/1", ("origin", _utf8), ("plan", _digest),
    ("purpose", lambda r: r.enumerated("provincial-masters", "transport-key")), ("destination", _utf8),
    ("recipient_key", _digest), ("profile", _maybe(0, _digest)),
    ("keys", _list(_record(("name", _utf8), ("group", _integer), ("version", _integer), ("id", _id), ("kcv", _kcv),
                           ("ciphertext", _octets)))),
    ("sealed_ms", _integer),
)  # fmt: skip

import_receipt = _document(
    "KMS-IMPORT-RECEIPT/1", ("origin", _utf8), ("plan", _digest), ("sealed", _digest), ("hsm_serial", _utf8),
    ("keys", _list(_record(("name", _utf8), ("group", _integer), ("version", _integer), ("kcv", _kcv)))),
    ("imported_ms", _integer),
)  # fmt: skip

bureau_application = _document(
    "KMS-BUREAU-APPLICATION/1", ("bureau", _utf8), ("name", _utf8), ("signing_certificate", _octets),
    ("encryption_certificate", _octets), ("hsm_key", _public_key), ("wrap", _wrap), ("hsm_serial", _utf8),
    ("created_ms", _integer),
)  # fmt: skip

component = _document(
    "KMS-COMPONENT/1", ("plan", _digest), ("officer", _utf8), ("kcv", _kcv), ("ciphertext", _octets),
)  # fmt: skip

batch_request = _document(
    "KMS-BATCH-REQUEST/1", ("origin", _utf8), ("bureau", _utf8), ("batch", _id), *_PROFILE, ("cards", _integer),
    ("replacements", _integer), ("list", _digest), ("created_ms", _integer),
)  # fmt: skip

# Section 8 -------------------------------------------------------------------------------------

_CHUNK_ENTRY = _record(
    ("index", _integer), ("cards", _integer), ("bytes", _integer), ("digest", _digest), ("root", _digest)
)

manifest = _document(
    "KMS-BATCH/1", ("origin", _utf8), ("batch", _id), ("counter", _integer), ("bureau", _utf8), ("plan", _digest),
    *_PROFILE, ("kek", _id), ("kek_kcv", _kcv), ("wrap", _wrap), ("encryption_key", _digest), ("cards", _integer),
    ("keys", _integer), ("chunks", _list(_CHUNK_ENTRY)), ("root", _digest), ("checkpoint", _utf8), ("created_ms", _integer),
)  # fmt: skip

_SLOT = _record(
    ("name", _utf8), ("group", _integer), ("version", _integer), ("wrapped", _octets),
    ("kcv", _maybe(0, _kcv)),
)  # fmt: skip


def _card_keys(reader):
    whole, inner = reader.whole_sequence()
    value = {"der": whole, "commitment": _digest(inner), "slots": inner.each(_SLOT)}
    inner.end()
    return value


chunk = _document(
    "KMS-CHUNK/1", ("batch", _id), ("index", _integer), ("count", _integer), ("cards", _list(_card_keys)),
    ("data_key", _octets), ("nonce", lambda r: r.octets(12)), ("records", _octets),
)  # fmt: skip

card_records = _document(
    "KMS-CARD-RECORDS/1",
    ("cards", _list(_record(("number", _utf8), ("factor", lambda r: r.octets(8)), ("salt", lambda r: r.octets(32)),
                            ("replacement", _maybe(0, _utf8))))),
)  # fmt: skip

receipt = _document(
    "KMS-RECEIPT/1", ("origin", _utf8), ("batch", _id), ("counter", _integer), ("bureau", _utf8),
    ("manifest", _digest), ("root", _digest), ("accepted", _integer), ("spoiled", _list(_digest)),
    ("received_ms", _integer),
)  # fmt: skip


def records_context(batch, bureau, index, count):
    """Additional data of a chunk's records."""
    return encode_sequence(
        encode_utf8("KMS-RECORDS/1"), encode_octets(batch), encode_utf8(bureau),
        encode_integer(index), encode_integer(count),
    )  # fmt: skip


def card_leaf(listed, card):
    """Merkle leaf hash of a card: `listed` is the manifest, `card` one of a chunk's cards."""
    leaf = encode_sequence(
        encode_utf8("KMS-CARD/1"), encode_octets(listed["batch"]), encode_utf8(listed["bureau"]),
        encode_octets(listed["kek"]), encode_octets(listed["profile"]), card["der"],
    )  # fmt: skip
    return gm.sm3(b"\x00", leaf)


def commitment(record):
    """How a card appears in log and package."""
    return gm.sm3(
        b"KMS-CARD-COMMITMENT/1", b"\x00", record["salt"], record["number"].encode("ascii"), record["factor"]
    )
