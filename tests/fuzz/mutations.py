"""Changes that mail suffers, by accident and by malice; each is one function of a random source.

Structural ones look at the message with the verifier's eyes and write it again, so that a change inside a
quoted-printable or base64 body is a change of its text and not only of its encoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from support.anatomy import Leaf, encode, leaves

Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]

FRAGMENTS = tuple(
    fragment.encode()
    for fragment in (
        *("<a href=", '<a href="', "<a href='http://x.example/1'>go</a>", "<a href=http://x.example/2>go</a>"),
        *('<a href="http://x.example/?a=1&amp;b=2">go</a>', '<A HREF = "HTTP://X.example/\r\n3" >go</A>'),
        *('<area href="https://x.example/4">', "<a href='https+notrack://x.example/5'>no</a>", "<a/href=http://x/>"),
        *("<a data-candor-no-track href='http://x.example/6'>no</a>", "<a data-candor-no-track=", "</a>", "<a "),
        *('<a href="http://x.example/7" href="http://y.example/">', "<a title='>' href=\"http://x.example/8\">"),
        *("<a href=http://x.example/ü>", "<a href=//x.example/9>", "<a href=http://x.example/{{x}}>", "<a href>"),
        *("<!--[if mso]>", "<!--[if mso]><a href='http://x.example/1'>go</a><![endif]-->", "<![endif]-->", "<!-->"),
        *("<!--", "-->", "--!>", "<!", "<?", "</", "<", ">", '"', "'", "=", "=3D", "=\r\n", "&", "&amp;", "&#x3a;"),
        *("<body>", "<body class=x>", "</body", "</body>", "</html>", "<html>", "<head>", "</head>", "<frameset>"),
        *("<svg>", "<svg><a href=http://x.example/s>", "</svg>", "<math>", "<template>", "</template>", "<select>"),
        *("<base href=http://x.example/>", "<plaintext>", "<noscript>", "</noscript>", "<xmp>", "<iframe>", "<p>"),
        *("<style>", "</style>", "<script>", "<script><!--<script>", "</script>", "<title>", "</title>", "<td>"),
        *("<textarea>", "</textarea>", "<v:roundrect href='http://x.example/v'>", "<table>", "</table>", "<form>"),
        *("{{open_pixel}}", "{{ open_pixel }}", "{{tracking_preferences_url}}", "%7B%7Btracking_preferences_url%7D%7D"),
        *("{{ses:openTracker}}", "<opentag/>", "<opentag>", "<opentag /", "<a clicktracking=no href=http://x.example/c>"),
        *("{{", "}}", "\r\n--", "\r\n", "\n", "\r", "\r\n\r\n", "\0", "\x0b", "\x0c", "\x1b$B", "\x1b(B", "\x0e", "é"),
        *("x" * 80, "y" * 1000, " " * 80, "-----BEGIN PGP MESSAGE-----", "From ", ".", "..", "\r\n.\r\n", "notrack"),
    )
)  # fmt: skip
FIELDS = (
    *(b"X-Candor-Tag: t", b"X-Candor-Track-Opens: no", b"X-Tracking-Consent: granted", b"x-candor-odd:\r\n folded"),
    *(b"X-MC-Track: opens", b"X-SMTPAPI: {}", b"X-PM-TrackLinks: TextOnly", b"x-mailgun-tag:\r\n\ta", b"X-SES-Outgoing: 1"),
    *(b"X-Mailgun-Track-Pixel-Location-Top: yes", b"X-PM-Metadata-a: b", b"X-PM-Metadata-: b", b"X-MC-User: c"),
    *(b"DKIM-Signature: v=1; h=from", b"Content-Type: text/html", b"Content-Type: text/html; charset=utf-8"),
    *(b"Content-Type: multipart/mixed; boundary=b", b"Content-Transfer-Encoding: base64", b"no field", b" folded"),
    *(b"Content-Disposition: attachment", b"Content-Disposition: inline; filename=a.html", b"MIME-Version: 1.0"),
    *(b"List-Unsubscribe: <http://x.example/1>", b"Subject: =?utf-8?q?x?=", b"", b"A : b", b"Content-ID: <root>"),
)  # fmt: skip
CHARSETS = (
    *(b"us-ascii", b"utf-8", b"iso-8859-1", b"windows-1252", b"koi8-r", b"big5", b"gbk", b"gb18030", b"shift_jis"),
    *(b"euc-jp", b"euc-kr", b"iso-2022-jp", b"iso-2022-kr", b"utf-16", b"utf-16le", b"utf-32", b"utf-7", b"cp500"),
    *(b"hz-gb-2312", b"nobody-knows", b'""', b"\xff"),
)  # fmt: skip
ENCODINGS = (
    *(
        b"7bit",
        b"8bit",
        b"binary",
        b"quoted-printable",
        b"base64",
        b"7-bit",
        b"hexa",
        b"QUOTED-PRINTABLE ",
        b"",
    ),
)
TYPES = (
    *(b"text/html", b"text/plain", b"text/calendar", b"text/x-amp-html", b"message/rfc822", b"multipart/mixed"),
    *(b"multipart/alternative", b"multipart/related", b"multipart/signed", b"multipart/digest", b"multipart/report"),
    *(b"multipart/encrypted", b"application/pkcs7-mime", b"application/octet-stream", b"image/gif", b"html"),
)  # fmt: skip


def mutate(rng: Random, data: bytes, others: Sequence[bytes], *, limit: int = 200_000) -> bytes:
    """A message with one to six changes, cut at `limit` octets."""
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4, 6))):
        data = rng.choice(MUTATIONS)(rng, data, others)[:limit]
    return data


def compose(rng: Random) -> bytes:
    """A well-formed message of one to three parts that hold nothing but hostile pieces."""
    parts = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind, encoding = (
            rng.choice(("html", "html", "plain")),
            rng.choice(("8bit", "quoted-printable", "base64")),
        )
        text = b"".join(rng.choice((*FRAGMENTS, b" ", b"text")) for _n in range(rng.randrange(30)))
        head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        parts.append(head.encode() + encode(through_the_door(text), encoding))
    if len(parts) == 1:
        return b"MIME-Version: 1.0\r\n" + parts[0]
    subtype, edge = rng.choice((b"alternative", b"mixed", b"related")), rng.choice((b"b", b"=_x", b"a'b"))
    body = b"".join(b"--" + edge + b"\r\n" + part + b"\r\n" for part in parts)
    return (
        b"Content-Type: multipart/"
        + subtype
        + b'; boundary="'
        + edge
        + b'"\r\n\r\n'
        + body
        + b"--"
        + edge
        + b"--\r\n"
    )


_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def through_the_door(data: bytes) -> bytes:
    """Line ends as the relay's intake leaves them: bare ones made CRLF."""
    return _BARE.sub(b"\r\n", data)


def _spot(rng: Random, data: bytes) -> int:
    return rng.randrange(len(data) + 1)


def flip_bits(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _n in range(rng.choice((1, 1, 3, 10))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _spot(rng, data)
    noise = rng.choice((rng.randbytes(rng.randrange(1, 20)), bytes([rng.choice(b"<>\"'=&-!/\r\n \0{}")])))
    return data[:at] + noise + data[at + rng.randrange(30) :]


def truncate(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _spot(rng, data)
    return data[:at] if rng.random() < 0.7 else data[at:]


def remove(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _spot(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 10, 100, 1000)) :]


def repeat(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _spot(rng, data)
    size = rng.choice((1, 3, 20, 200, 2000))
    return data[:at] + data[at : at + size] * rng.choice((2, 3, 30)) + data[at + size :]


def splice(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return data[: _spot(rng, data)] + other[_spot(rng, other) :]


def nest(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One message as a part of another."""
    kind, edge = rng.choice(TYPES), rng.choice((b"b", b"=_x", b"--", b"b b"))
    inner = rng.choice((data, b"Content-Type: message/rfc822\r\n\r\n" + data))
    other = rng.choice(others)
    return (
        b"Content-Type: " + kind + b'; boundary="' + edge + b'"\r\n\r\n--' + edge + b"\r\n" + inner
        + b"\r\n--" + edge + b"\r\n" + other + b"\r\n--" + edge + rng.choice((b"--\r\n", b"", b"-"))
    )  # fmt: skip


def shuffle_header(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    block, empty, rest = data.partition(b"\r\n\r\n")
    lines = block.split(b"\r\n")
    rng.shuffle(lines)
    return b"\r\n".join(lines) + empty + rest


def add_field(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    line_ends = [match.end() for match in re.finditer(rb"\r\n", data[:20_000])]
    at = rng.choice([0, *line_ends[:20], *line_ends])
    return data[:at] + rng.choice(FIELDS) + b"\r\n" + data[at:]


def _relabel(pattern: bytes, words: Sequence[bytes]) -> Mutation:
    label = re.compile(pattern, re.IGNORECASE)

    def relabel(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
        found = list(label.finditer(data))
        if not found:
            return data
        start, end = rng.choice(found).span(1)
        return data[:start] + rng.choice(words) + data[end:]

    return relabel


relabel_charset = _relabel(rb"charset=\"?([^\s\";]*)", CHARSETS)
relabel_encoding = _relabel(rb"content-transfer-encoding:[ \t]*([^\s;]*)", ENCODINGS)
relabel_type = _relabel(rb"content-type:[ \t]*([^\s;]*)", TYPES)
change_boundary = _relabel(
    rb"(?:boundary=\"?|\n--)([^\s\";]*)", (b"", b"b", b"b b", b"=_b1--", b"x" * 80, b"'b'", b'b"')
)


def change_line_ends(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if rng.random() < 0.5:
        at = _spot(rng, data)
        return data[:at] + data[at:].replace(
            b"\r\n", rng.choice((b"\n", b"\r", b"\r\r\n", b" \r\n")), rng.choice((1, 5, -1))
        )
    return data.replace(b"\r\n", b"\n")


def insert_raw(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _spot(rng, data)
    return data[:at] + rng.choice(FRAGMENTS) + data[at:]


def change_text(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Changes the decoded text of one part and encodes it again as it was."""
    texts = [leaf for leaf in leaves(data) if leaf.kind.startswith("text/") and leaf.encoding in _KNOWN]
    if not texts:
        return insert_raw(rng, data, others)
    leaf = rng.choice(texts)
    text = leaf.content(data)
    for _ in range(rng.choice((1, 2, 4, 8, 20))):
        at = _spot(rng, text)
        if rng.random() < 0.3:  # where it hurts: at a tag
            tags = [match.start() for match in re.finditer(rb"[<>]", text)]
            at = rng.choice(tags or [at])
        text = text[:at] + rng.choice(FRAGMENTS) + text[at + rng.choice((0, 0, 0, 1, 30)) :]
    return _with_text(rng, data, leaf, text)


def encode_anew(rng: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """The same text under another transfer encoding, its label changed as well."""
    texts = [leaf for leaf in leaves(data) if leaf.kind.startswith("text/") and leaf.encoding in _KNOWN]
    if not texts:
        return data
    leaf = rng.choice(texts)
    label = list(
        re.finditer(rb"content-transfer-encoding:[ \t]*([^\s;]*)", data[: leaf.start], re.IGNORECASE)
    )
    text = leaf.content(data)
    if not label:
        return data
    encoding = rng.choice(("8bit", "quoted-printable", "base64"))
    start, end = label[-1].span(1)
    return (
        data[:start] + encoding.encode() + data[end : leaf.start] + encode(text, encoding) + data[leaf.end :]
    )


_KNOWN = ("7bit", "8bit", "binary", "quoted-printable", "base64")


def _with_text(rng: Random, data: bytes, leaf: Leaf, text: bytes) -> bytes:
    content = encode(text, leaf.encoding)
    if leaf.encoding == "base64" and rng.random() < 0.3:
        width = rng.choice((4, 60, 64, 76, 100))
        flat = content.replace(b"\r\n", b"")
        content = b"\r\n".join(flat[n : n + width] for n in range(0, len(flat), width))
    return data[: leaf.start] + content + data[leaf.end :]


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bits, overwrite, truncate, remove, repeat, splice, nest, shuffle_header, add_field),
    *(relabel_charset, relabel_encoding, relabel_type, change_boundary, change_line_ends, encode_anew),
    *(insert_raw, insert_raw, change_text, change_text, change_text, change_text),
)
