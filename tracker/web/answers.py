"""The two answers of a hit, fixed by its token: the pixel, or a redirect to the author's URL.

As headers for the web framework, and as the octets themselves for plain requests; a test holds the two alike.
"""

from __future__ import annotations

import re
import time
from urllib.parse import unquote_plus
from wsgiref.handlers import format_date_time

from tracker.refusals import SERVER
from tracker.tokens import Token

PIXEL = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)
"""A transparent GIF of one pixel, 43 octets."""
PIXEL_TYPE = "image/gif"
PIXEL_HEADERS = {"Cache-Control": "no-store, private"}
_BETWEEN = re.compile("[&;]")


def redirect_headers(location: str, referrer_policy: str) -> dict[str, str]:
    headers = {"Location": location, "Cache-Control": "no-store"}
    if referrer_policy:
        headers["Referrer-Policy"] = referrer_policy
    return headers


def with_suffix(token: Token) -> str:
    """The destination with its suffix in the query: before the fragment, joined by `?` or `&`."""
    return _joined(token.destination, token.suffix.lstrip("?&"))


def with_parameter(url: str, name: str, value: str) -> str:
    """The URL with one more parameter, in front of the fragment; as it is where it has one of that name already."""
    query = url.partition("#")[0].partition("?")[2]
    names = {unquote_plus(one.partition("=")[0]) for one in _BETWEEN.split(query)}
    return url if name in names else _joined(url, f"{name}={value}")


def _joined(url: str, addition: str) -> str:
    url, mark, fragment = url.partition("#")
    joint = "?" if "?" not in url else "" if url.endswith(("?", "&")) else "&"
    return f"{url}{joint}{addition}{mark}{fragment}"


class Octets:
    """Answers as they go over the wire. What does not change within a second is put together once."""

    def __init__(self) -> None:
        self._second = -1
        self._kept: dict[tuple[object, ...], bytes] = {}

    def pixel(self, *, old: bool, keep: bool, body: bool) -> bytes:
        """`body`: false for HEAD. `old`: HTTP/1.0. `keep`: the connection stays open."""
        kept = self._this_second()
        key = ("pixel", old, keep, body)
        if (found := kept.get(key)) is None:
            headers = {**PIXEL_HEADERS, "Content-Type": PIXEL_TYPE, "Content-Length": str(len(PIXEL))}
            found = _status(old, "200 OK") + self._block(headers, old, keep) + (PIXEL if body else b"")
            kept[key] = found
        return found

    def redirect(self, location: str, referrer_policy: str, *, old: bool, keep: bool) -> bytes:
        kept = self._this_second()
        key = ("redirect", referrer_policy, old, keep)
        if (found := kept.get(key)) is None:
            headers = redirect_headers("", referrer_policy) | {"Content-Length": "0"}
            del headers["Location"]
            found = kept[key] = b"\r\n" + self._block(headers, old, keep)
        start = b"HTTP/1.0 302 Found\r\nLocation: " if old else b"HTTP/1.1 302 Found\r\nLocation: "
        return start + location.encode("ascii") + found

    def turned_away(self, *, old: bool, keep: bool) -> bytes:
        """To a token that does not verify, of somebody who sends too many."""
        kept = self._this_second()
        key = ("turned away", old, keep)
        if (found := kept.get(key)) is None:
            headers = {"Cache-Control": "no-store", "Content-Length": "0"}
            found = kept[key] = _status(old, "429 Too Many Requests") + self._block(headers, old, keep)
        return found

    def refusal(self, status: str) -> bytes:
        """To what is too large or too slow to be a request; the connection ends with it."""
        self._this_second()
        return _status(False, status) + self._block({"Content-Length": "0"}, old=False, keep=False)

    def _this_second(self) -> dict[tuple[object, ...], bytes]:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._kept.clear()
        return self._kept

    def _block(self, headers: dict[str, str], old: bool, keep: bool) -> bytes:
        """The header lines and the empty one behind them."""
        all_ = {**headers, "Date": format_date_time(self._second), "Server": SERVER}
        if keep == old:  # else it is what the version means anyway
            all_["Connection"] = "keep-alive" if keep else "close"
        return "".join(f"{name}: {value}\r\n" for name, value in all_.items()).encode("ascii") + b"\r\n"


def _status(old: bool, status: str) -> bytes:
    return f"HTTP/1.{0 if old else 1} {status}\r\n".encode("ascii")
