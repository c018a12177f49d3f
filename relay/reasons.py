"""Why something stayed as it was: every reason the rewriter has, and its sentence for people.

The strings are stored with deliveries and shown by commands, so a published one is never renamed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """One word for why a message, a part or a link was left alone."""

    # the message as a whole
    NO_HTML = "no-html"
    NOTHING_TO_TRACK = "nothing-to-track"
    SIGNED_DKIM = "signed-dkim"
    MALFORMED_HEADER = "malformed-header"
    HEADER_TOO_LARGE = "header-too-large"
    NO_BODY = "no-body"
    TOO_MANY_PARTS = "too-many-parts"
    INTERNAL_ERROR = "internal-error"

    # a part, and the message where that was its only body
    SIGNED = "signed"
    ENCRYPTED = "encrypted"
    SMIME = "smime"
    PGP = "pgp"
    REPORT = "report"
    DIGEST = "digest"
    ATTACHED_MESSAGE = "attached-message"
    UNKNOWN_MULTIPART = "unknown-multipart"
    MALFORMED_MULTIPART = "malformed-multipart"
    TOO_DEEP = "too-deep"
    TOO_LARGE = "too-large"
    NO_BLANK_LINE = "no-blank-line"
    MALFORMED_TYPE = "malformed-type"
    ATTACHMENT = "attachment"
    NOT_ROOT = "not-root"
    CALENDAR = "calendar"
    AMP = "amp"
    UNKNOWN_ENCODING = "unknown-encoding"
    BROKEN_ENCODING = "broken-encoding"
    UNSUPPORTED_CHARSET = "unsupported-charset"
    CHARSET_MISMATCH = "charset-mismatch"

    # the pixel
    NO_PIXEL_PLACE = "no-pixel-place"
    ALREADY_TRACKED = "already-tracked"

    # a link
    EMPTY = "empty"
    FRAGMENT = "fragment"
    RELATIVE = "relative"
    OTHER_SCHEME = "other-scheme"
    PROTOCOL_RELATIVE = "protocol-relative"
    NO_HOST = "no-host"
    ODD_HOST = "odd-host"
    USERINFO = "userinfo"
    BLANK = "blank"
    CONTROL_CHARACTER = "control-character"
    NON_ASCII = "non-ascii"
    TEMPLATE = "template-placeholder"
    TOO_LONG = "too-long"
    TOO_MANY_LINKS = "too-many-links"
    TOO_MANY_TAGS = "too-many-tags"
    LINE_TOO_LONG = "line-too-long"
    OPT_OUT = "opt-out"
    OWN_HOST = "own-host"
    ALREADY_WRAPPED = "already-wrapped"
    LIST_UNSUBSCRIBE = "list-unsubscribe"
    UNSUBSCRIBE = "unsubscribe"
    SKIPPED_HOST = "skipped-host"
    SKIPPED_PATTERN = "skipped-pattern"
    VISIBLE_URL = "visible-url"
    OUTLOOK = "outlook"
    UNQUOTED_IN_COMMENT = "unquoted-in-comment"
    TREE_CONSTRUCTION = "tree-construction"

    # a placeholder
    DELIMITER = "delimiter"
    IN_TAG = "in-tag"
    TOO_MANY_PLACEHOLDERS = "too-many-placeholders"

    # plain text
    QUOTED_TEXT = "quoted-text"


EXPLANATIONS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.NO_HTML: "The message has no HTML body.",
        Reason.NOTHING_TO_TRACK: "The bodies hold no link that may be wrapped and no place for a pixel.",
        Reason.SIGNED_DKIM: "The message carries a DKIM or ARC signature that a change would break and we cannot make anew.",
        Reason.MALFORMED_HEADER: "The header block holds a line that is no header field.",
        Reason.HEADER_TOO_LARGE: "The header block is larger, or has more fields, than is looked at.",
        Reason.NO_BODY: "No empty line ends the header block, so there is no body.",
        Reason.TOO_MANY_PARTS: "The message has more parts than are looked at.",
        Reason.INTERNAL_ERROR: "The rewriter met a case it does not handle; please report it.",
        Reason.SIGNED: "The part lies inside multipart/signed; a change would break the signature.",
        Reason.ENCRYPTED: "The part is encrypted.",
        Reason.SMIME: "The part is an S/MIME envelope or signature.",
        Reason.PGP: "The part holds PGP armour.",
        Reason.REPORT: "The part lies inside a multipart/report, which machines read.",
        Reason.DIGEST: "The part lies inside a digest of other people's messages.",
        Reason.ATTACHED_MESSAGE: "The part is an attached message, somebody else's words.",
        Reason.UNKNOWN_MULTIPART: "The multipart subtype is not one that holds a body to be shown.",
        Reason.MALFORMED_MULTIPART: "The multipart has no usable boundary or an encoding of its own.",
        Reason.TOO_DEEP: "The part lies deeper in the tree of parts than is looked at.",
        Reason.TOO_LARGE: "The part is larger than bodies are looked at.",
        Reason.NO_BLANK_LINE: "No empty line separates the part's header from its content.",
        Reason.MALFORMED_TYPE: "The part's header fields contradict each other or cannot be read.",
        Reason.ATTACHMENT: "The part is an attachment.",
        Reason.NOT_ROOT: "The part is a resource of a multipart/related, not its root.",
        Reason.CALENDAR: "The part is a calendar.",
        Reason.AMP: "The part is AMP for email, which forbids wrapped links.",
        Reason.UNKNOWN_ENCODING: "The part's Content-Transfer-Encoding is not a known one.",
        Reason.BROKEN_ENCODING: "The part's content does not follow its Content-Transfer-Encoding.",
        Reason.UNSUPPORTED_CHARSET: "The part's charset cannot be scanned safely.",
        Reason.CHARSET_MISMATCH: "The part's bytes do not fit its charset.",
        Reason.NO_PIXEL_PLACE: "An open comment, style or element would swallow a pixel.",
        Reason.ALREADY_TRACKED: "The part already holds a pixel of ours.",
        Reason.EMPTY: "The link has no destination.",
        Reason.FRAGMENT: "The link leads to a place in the message itself.",
        Reason.RELATIVE: "The link is relative.",
        Reason.OTHER_SCHEME: "The link is not http or https.",
        Reason.PROTOCOL_RELATIVE: "The link names no scheme (//host), and wrapping those is not configured.",
        Reason.NO_HOST: "The link names no host.",
        Reason.ODD_HOST: "The link's host is not written as a plain name or address.",
        Reason.USERINFO: "The link carries a user name or password.",
        Reason.BLANK: "The link holds a blank.",
        Reason.CONTROL_CHARACTER: "The link holds a control character.",
        Reason.NON_ASCII: "The link holds characters outside ASCII, which programs encode differently.",
        Reason.TEMPLATE: "The link holds a placeholder that another program is to fill in.",
        Reason.TOO_LONG: "The link is so long that its tracking link would be cut by mail programs.",
        Reason.TOO_MANY_LINKS: "The message has more links than may be wrapped in one message.",
        Reason.TOO_MANY_TAGS: "The body has more tags than are looked at; what stands behind them stays.",
        Reason.LINE_TOO_LONG: "The line would pass the 998 octets that SMTP permits.",
        Reason.OPT_OUT: "The author marked the link as not to be tracked.",
        Reason.OWN_HOST: "The link already leads to our tracking host.",
        Reason.ALREADY_WRAPPED: "The link is already wrapped by another service.",
        Reason.LIST_UNSUBSCRIBE: "The link also stands in the List-Unsubscribe field.",
        Reason.UNSUBSCRIBE: "The link looks like one for unsubscribing or for preferences.",
        Reason.SKIPPED_HOST: "The configuration leaves links to this host alone.",
        Reason.SKIPPED_PATTERN: "The configuration leaves links of this form alone (login, reset, payment).",
        Reason.VISIBLE_URL: "The visible text is an address; wrapped, the link would look like phishing.",
        Reason.OUTLOOK: "The link is only seen by Outlook, and wrapping those is switched off.",
        Reason.UNQUOTED_IN_COMMENT: "The link stands without quotes inside a conditional comment.",
        Reason.TREE_CONSTRUCTION: "An element before the link makes mail programs disagree on what follows.",
        Reason.DELIMITER: "Filled in, the placeholder would leave a line that ends the part.",
        Reason.IN_TAG: "Filled in, the placeholder would begin or change a tag.",
        Reason.TOO_MANY_PLACEHOLDERS: "The body has more placeholders or marks than are filled in.",
        Reason.QUOTED_TEXT: "The link stands in a quoted line of plain text.",
    }
)
"""Every reason has exactly one sentence; commands and documentation print this table."""
