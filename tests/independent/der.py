"""A strict DER reader: just enough of X.690 for docs/formats.md, and the few encoders it needs.

Not a general ASN.1 library. Guards: non-minimal lengths and integers, indefinite lengths, trailing
bytes and wrong tags are refused.
"""


class DerError(Exception):
    """The bytes are not the DER that was expected."""


SEQUENCE, UTF8, OCTETS, INTEGER, ENUMERATED, BITS, OID, BOOLEAN = 0x30, 0x0C, 0x04, 0x02, 0x0A, 0x03, 0x06, 0x01


class Reader:
    """Reads one value after the other from a stretch of bytes."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def more(self):
        """Is anything left?"""
        return self.at < len(self.data)

    def end(self):
        """Refuses anything left."""
        if self.more():
            raise DerError(f"{len(self.data) - self.at} bytes too many")

    def peek(self):
        """The next tag, or None."""
        return self.data[self.at] if self.more() else None

    def tlv(self, tag):
        """(whole encoding, content) of the next value, which must have this tag."""
        start = self.at
        if self.peek() != tag:
            raise DerError(f"expected tag {tag:02x}, found {self.peek()}")
        if start + 2 > len(self.data):
            raise DerError("cut off")
        length = self.data[start + 1]
        at = start + 2
        if length >= 0x80:
            count = length & 0x7F
            if count == 0 or count > 4 or at + count > len(self.data):
                raise DerError("length form")
            length = int.from_bytes(self.data[at : at + count], "big")
            at += count
            if length < 0x80 or length >> (8 * (count - 1)) == 0:
                raise DerError("length is not minimal")
        if at + length > len(self.data):
            raise DerError("cut off")
        self.at = at + length
        return self.data[start : self.at], self.data[at : self.at]

    def sequence(self):
        """A reader of the content of the next SEQUENCE."""
        return Reader(self.tlv(SEQUENCE)[1])

    def whole_sequence(self):
        """(whole encoding, reader of the content) of the next SEQUENCE."""
        whole, content = self.tlv(SEQUENCE)
        return whole, Reader(content)

    def each(self, read):
        """Every element of the next SEQUENCE OF, read by `read`."""
        inner = self.sequence()
        found = []
        while inner.more():
            found.append(read(inner))
        return found

    def utf8(self):
        """Text."""
        return self.tlv(UTF8)[1].decode("utf-8", "strict")

    def octets(self, size=None):
        """Bytes, of this size."""
        content = self.tlv(OCTETS)[1]
        if size is not None and len(content) != size:
            raise DerError(f"{len(content)} bytes instead of {size}")
        return content

    def integer(self):
        """A number that is not negative."""
        return number(self.tlv(INTEGER)[1])

    def enumerated(self, *names):
        """One of the names, by position."""
        value = number(self.tlv(ENUMERATED)[1])
        if value >= len(names):
            raise DerError(f"{value} is not one of {names}")
        return names[value]

    def boolean(self):
        """True or False."""
        content = self.tlv(BOOLEAN)[1]
        if content not in (b"\x00", b"\xff"):
            raise DerError("boolean")
        return content == b"\xff"

    def bits(self):
        """A BIT STRING with 0 unused bits."""
        content = self.tlv(BITS)[1]
        if content[:1] != b"\x00":
            raise DerError("unused bits")
        return content[1:]

    def optional(self, number_, read):
        """An EXPLICIT context tag, or None."""
        if self.peek() != 0xA0 + number_:
            return None
        inner = Reader(self.tlv(0xA0 + number_)[1])
        value = read(inner)
        inner.end()
        return value

    def choice(self, readers, first=0):
        """(name, value) of a CHOICE with EXPLICIT context tags from `first`; `readers` has (name, read)."""
        tag = self.peek()
        if tag is None or not 0 <= tag - 0xA0 - first < len(readers):
            raise DerError("no such alternative")
        name, read = readers[tag - 0xA0 - first]
        inner = Reader(self.tlv(tag)[1])
        value = read(inner)
        inner.end()
        return name, value


def number(content):
    """Content of an INTEGER that is not negative, minimal."""
    if not content or content[0] & 0x80 or (len(content) > 1 and content[0] == 0 and not content[1] & 0x80):
        raise DerError("integer is not minimal, or negative")
    return int.from_bytes(content, "big")


def encode(tag, content):
    """One value."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def encode_integer(value):
    """An INTEGER that is not negative."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def encode_utf8(text):
    """Text."""
    return encode(UTF8, text.encode())


def encode_octets(content):
    """Bytes."""
    return encode(OCTETS, content)


def encode_sequence(*parts):
    """A SEQUENCE of encoded parts."""
    return encode(SEQUENCE, b"".join(parts))
