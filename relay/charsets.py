"""Charsets as far as finding markup needs them: three families, and those that are left alone.

In most charsets no octet of a multibyte character is one of `< > " ' = / ! & -` or a blank, so octets can be
scanned as they are, even under a wrong label. Escape-based ones are masked first, wide ones decoded and
proven to encode back. Knows no HTML. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache
from typing import NamedTuple

from relay.reasons import Reason

_OCTETWISE_NAMES = """utf_8 utf_8_sig ascii latin_1 iso8859_1 iso8859_2 iso8859_3 iso8859_4 iso8859_5
    iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16
    cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp437 cp720 cp737 cp775 cp850 cp852 cp855
    cp856 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp874 cp1006 cp1125 koi8_r koi8_u koi8_t
    kz1048 big5 big5hkscs gb2312 gbk gb18030 shift_jis shift_jis_2004 shift_jisx0213 cp932 cp949 cp950 euc_jp
    euc_jis_2004 euc_jisx0213 euc_kr mac_cyrillic mac_greek mac_iceland mac_latin2 mac_roman mac_turkish
    tis_620 hp_roman8 ptcp154"""
_ESCAPED_NAMES = """iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext
    iso2022_kr"""
_MULTIBYTE_NAMES = "big5 big5hkscs gbk gb18030 shift_jis shift_jis_2004 shift_jisx0213 cp932 cp949 cp950"
_LEFT_ALONE_NAMES = "utf_7 hz johab cp037 cp273 cp424 cp500 cp875 cp1026 cp1140 punycode idna"

_OCTETWISE = frozenset(_OCTETWISE_NAMES.split())
_ESCAPED = frozenset(_ESCAPED_NAMES.split())
_MULTIBYTE_TRAILS = frozenset(_MULTIBYTE_NAMES.split())
"""Here `{` and `}` may be the second octet of a character."""
_LEFT_ALONE = frozenset(_LEFT_ALONE_NAMES.split())
_WIDE: Mapping[str, tuple[str, ...]] = {
    "utf_16": ("utf_16_le", "utf_16_be"),
    "utf_16_le": ("utf_16_le",),
    "utf_16_be": ("utf_16_be",),
    "utf_32": ("utf_32_le", "utf_32_be"),
    "utf_32_le": ("utf_32_le",),
    "utf_32_be": ("utf_32_be",),
}
_BOMS: Mapping[str, bytes] = {
    "utf_16_le": b"\xff\xfe",
    "utf_16_be": b"\xfe\xff",
    "utf_32_le": b"\xff\xfe\x00\x00",
    "utf_32_be": b"\x00\x00\xfe\xff",
}
_NOT_OCTETWISE = (b"\x00", b"\x0e", b"\x0f", b"\x1b")
"""NUL, shifts and escapes: signs of another charset than the label says."""
# A run from an escape or shift that leaves ASCII to the one that comes back; JIS-Roman differs from ASCII
# only in characters that markup does not use.
_RUN = re.compile(r"\x1b\$\)C|\x1b(?!\([BJ])[\s\S]*?(?:\x1b\([BJ]|\Z)|\x0e[\s\S]*?(?:\x0f|\Z)")
# What leaves ASCII in a way that every program knows (RFC 1468, RFC 1557, WHATWG Encoding 12.2.1). Behind anything else
# some read on in ASCII, and would see markup in what others take for letters.
_LEAVES_ASCII = re.compile(r"\x1b(?:\$[@B]|\(I)")
_ASCII = re.compile("[\x01-\x7f]")
_DESIGNATION = "\x1b$)C"
"""Of ISO-2022-KR: says what the shifts mean, and shifts nothing itself (RFC 1557)."""


class Text(NamedTuple):
    """Decoded octets as text to scan. `scan` and `shown` are equally long; only `scan` is masked."""

    scan: str
    shown: str
    charset: str
    """The codec's name."""
    wide: bool = False
    origin: int = 0
    """Octets before `scan[0]`: a byte order mark."""

    def read(self, start: int, end: int) -> str:
        """The characters of a range, for people and for comparison."""
        piece = self.shown[start:end]
        if self.wide or (piece.isascii() and self.charset not in _ESCAPED):
            return piece
        if self.charset in _ESCAPED:
            designation = b"\x1b$)C" if self.charset == "iso2022_kr" else b""
            return (designation + piece.encode("ascii")).decode(self.charset, "replace")
        return piece.encode("latin-1").decode(self.charset, "replace")

    def offsets(self, positions: Iterable[int]) -> list[int]:
        """Octet offsets of ascending positions in `scan`."""
        if not self.wide:
            return list(positions)
        result: list[int] = []
        octets, last = self.origin, 0
        for position in positions:
            octets += len(self.scan[last:position].encode(self.charset))
            last = position
            result.append(octets)
        return result

    def is_boundary(self, position: int) -> bool:
        """No multibyte character of this charset covers `position`."""
        if self.charset not in _MULTIBYTE_TRAILS or position == 0 or self.shown[position - 1] < "\x80":
            return True
        line = self.shown.rfind("\n", max(0, position - 4000), position) + 1
        try:
            self.shown[line:position].encode("latin-1").decode(self.charset)
        except UnicodeDecodeError:
            return False
        return True


def view(octets: bytes, label: str) -> Text | Reason:
    """A text to scan, or why there is none. `label` is the charset as labelled, `""` where it is not."""
    name = canonical(label)
    if name in _WIDE:
        return _wide(octets, name)
    if name in _ESCAPED:
        return _escaped(octets, name)
    if name not in _OCTETWISE:
        # an unknown label says nothing about plain ASCII content
        if name != "" or not octets.isascii():
            return Reason.UNSUPPORTED_CHARSET
        name = "ascii"
    for sign in _NOT_OCTETWISE:
        if sign in octets:
            return Reason.CHARSET_MISMATCH
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Reason.CHARSET_MISMATCH
    text = octets.decode("latin-1")
    return Text(scan=text, shown=text, charset=name)


@lru_cache(maxsize=256)
def canonical(label: str) -> str:
    """Python's name of a labelled charset: `ascii` without a label, `""` for one nobody knows."""
    if not label:
        return "ascii"
    word = label.strip("'\" ").lower()
    if not word.isascii() or len(word) > 60:
        return ""
    name = normalize_encoding(word)
    name = aliases.get(name, name)
    if name in _OCTETWISE or name in _WIDE or name in _ESCAPED or name in _LEFT_ALONE:
        return name
    return _MORE_ALIASES.get(name, "")


_MORE_ALIASES: Mapping[str, str] = {
    "iso8859_8_i": "iso8859_8",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "x_sjis": "shift_jis",
    "x_gbk": "gbk",
    "ks_c_5601_1987": "cp949",
    "windows_949": "cp949",
    "windows_31j": "cp932",
    "windows_874": "cp874",
    "x_mac_roman": "mac_roman",
    "macintosh": "mac_roman",
    "gb2312_80": "gb2312",
    "cn_gb": "gb2312",
    "unicode_1_1_utf_7": "utf_7",
    "csunicode11utf7": "utf_7",
    "iso_2022_cn": "utf_7",
    "iso_2022_cn_ext": "utf_7",
    "ibm037": "cp037",
    "ebcdic": "cp037",
}
"""Labels that mail uses and Python's table lacks; `utf_7` stands for whatever is left alone."""


def _wide(octets: bytes, name: str) -> Text | Reason:
    """Byte order by the mark; without one, as the name says, else big-endian (RFC 2781 4.3)."""
    candidates = _WIDE[name]
    codec, origin = candidates[-1], 0
    for candidate in candidates:
        if octets.startswith(_BOMS[candidate]):
            codec, origin = candidate, len(_BOMS[candidate])
            break
    try:
        text = octets[origin:].decode(codec)
        same = text.encode(codec) == octets[origin:]
    except UnicodeError:
        return Reason.CHARSET_MISMATCH
    # without one ASCII character it holds no markup: the label or the byte order is another one
    if not same or "\x00" in text or _ASCII.search(text) is None:
        return Reason.CHARSET_MISMATCH
    return Text(scan=text, shown=text, charset=codec, wide=True, origin=origin)


def _escaped(octets: bytes, name: str) -> Text | Reason:
    if not octets.isascii() or b"\x00" in octets:
        return Reason.CHARSET_MISMATCH
    shown = octets.decode("ascii")
    pieces, at = [], 0
    for match in _RUN.finditer(shown):
        run = match[0]
        if name == "iso2022_kr":
            closed = run == _DESIGNATION or (run[0] == "\x0e" and run[-1] == "\x0f")
        else:
            closed = _LEAVES_ASCII.match(run) is not None and run.endswith(("\x1b(B", "\x1b(J"))
        # RFC 1468: a line ends in ASCII; where it does not, programs disagree
        if not closed or "\n" in run or "\r" in run:
            return Reason.CHARSET_MISMATCH
        pieces += [shown[at : match.start()], "\x1a" * len(run)]
        at = match.end()
    pieces.append(shown[at:])
    return Text(scan="".join(pieces), shown=shown, charset=name)
