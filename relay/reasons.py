"""Why something stayed as it was: every reason the rewriter has, with its sentence, an example, and the option that
changes it.

The strings are stored with messages, so a published one is never renamed. Tests hold the examples true. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Scope(StrEnum):
    """What a reason is about."""

    MESSAGE = "message"
    PART = "part"
    PIXEL = "pixel"
    LINK = "link"
    PLACEHOLDER = "placeholder"


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
    PLAIN_TEXT = "plain-text"
    OTHER_TYPE = "other-type"

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
    QUOTED_TEXT = "quoted-text"
    NOT_WANTED = "not-wanted"

    # a placeholder
    DELIMITER = "delimiter"
    IN_TAG = "in-tag"
    TOO_MANY_PLACEHOLDERS = "too-many-placeholders"


class Row(NamedTuple):
    """What is said of a reason."""

    scope: Scope
    explanation: str
    example: str
    """HTML where it begins with `<`, else words; `TRACKING-HOST` stands for our own."""
    option: str = ""
    """The configuration's key that changes it, of `[rewrite]` where no table is named."""


TABLE: Mapping[Reason, Row] = MappingProxyType(
    {
        Reason.NO_HTML: Row(
            Scope.MESSAGE,
            "The message has no HTML body.",
            "a message of `text/plain` alone",
            "wrap_plain_text",
        ),
        Reason.NOTHING_TO_TRACK: Row(
            Scope.MESSAGE,
            "The bodies hold no link that may be wrapped and no place for a pixel.",
            "`<html><body><!-- no end`",
        ),
        Reason.SIGNED_DKIM: Row(
            Scope.MESSAGE,
            "The message carries a DKIM or ARC signature that a change would break and we cannot make anew.",
            "`DKIM-Signature: v=1; …`",
            "[dkim] foreign_signatures",
        ),
        Reason.MALFORMED_HEADER: Row(
            Scope.MESSAGE,
            "The header block holds a line that is no header field.",
            "`Subject : News`, a bare CR, a line without a colon",
        ),
        Reason.HEADER_TOO_LARGE: Row(
            Scope.MESSAGE,
            "The header block is larger, or has more fields, than is looked at.",
            "a header block of 1,000,000 octets, or of 2,000 fields",
        ),
        Reason.NO_BODY: Row(
            Scope.MESSAGE,
            "No empty line ends the header block, so there is no body.",
            "a message that ends in its header",
        ),
        Reason.TOO_MANY_PARTS: Row(
            Scope.MESSAGE, "The message has more parts than are looked at.", "more than 500 parts"
        ),
        Reason.INTERNAL_ERROR: Row(
            Scope.MESSAGE, "The rewriter met a case it does not handle; please report it.", ""
        ),
        Reason.SIGNED: Row(
            Scope.PART,
            "The part lies inside multipart/signed; a change would break the signature.",
            "`Content-Type: multipart/signed`",
        ),
        Reason.ENCRYPTED: Row(Scope.PART, "The part is encrypted.", "`Content-Type: multipart/encrypted`"),
        Reason.SMIME: Row(
            Scope.PART,
            "The part is an S/MIME envelope or signature.",
            "`Content-Type: application/pkcs7-mime`",
        ),
        Reason.PGP: Row(Scope.PART, "The part holds PGP armour.", "`-----BEGIN PGP MESSAGE-----`"),
        Reason.REPORT: Row(
            Scope.PART,
            "The part lies inside a multipart/report, which machines read.",
            "`Content-Type: multipart/report`",
        ),
        Reason.DIGEST: Row(
            Scope.PART,
            "The part lies inside a digest of other people's messages.",
            "`Content-Type: multipart/digest`",
        ),
        Reason.ATTACHED_MESSAGE: Row(
            Scope.PART,
            "The part is an attached message, somebody else's words.",
            "`Content-Type: message/rfc822`",
        ),
        Reason.UNKNOWN_MULTIPART: Row(
            Scope.PART,
            "The multipart subtype is not one that holds a body to be shown.",
            "`Content-Type: multipart/form-data`",
        ),
        Reason.MALFORMED_MULTIPART: Row(
            Scope.PART,
            "The multipart has no usable boundary or an encoding of its own.",
            "`Content-Type: multipart/mixed` without a boundary",
        ),
        Reason.TOO_DEEP: Row(
            Scope.PART,
            "The part lies deeper in the tree of parts than is looked at.",
            "more than 20 multiparts inside one another",
        ),
        Reason.TOO_LARGE: Row(
            Scope.PART, "The part is larger than bodies are looked at.", "an HTML body of more than 10 MiB"
        ),
        Reason.NO_BLANK_LINE: Row(
            Scope.PART,
            "No empty line separates the part's header from its content.",
            "a part that ends in its header",
        ),
        Reason.MALFORMED_TYPE: Row(
            Scope.PART,
            "The part's header fields contradict each other or cannot be read.",
            "two `Content-Type` fields",
        ),
        Reason.ATTACHMENT: Row(Scope.PART, "The part is an attachment.", "`Content-Disposition: attachment`"),
        Reason.NOT_ROOT: Row(
            Scope.PART,
            "The part is a resource of a multipart/related, not its root.",
            "an image shown inside the HTML",
        ),
        Reason.CALENDAR: Row(Scope.PART, "The part is a calendar.", "`Content-Type: text/calendar`"),
        Reason.AMP: Row(
            Scope.PART,
            "The part is AMP for email, which forbids wrapped links.",
            "`Content-Type: text/x-amp-html`",
        ),
        Reason.UNKNOWN_ENCODING: Row(
            Scope.PART,
            "The part's Content-Transfer-Encoding is not a known one.",
            "`Content-Transfer-Encoding: 8bits`",
        ),
        Reason.BROKEN_ENCODING: Row(
            Scope.PART,
            "The part's content does not follow its Content-Transfer-Encoding.",
            "a quoted-printable part with `=zz`",
        ),
        Reason.UNSUPPORTED_CHARSET: Row(
            Scope.PART, "The part's charset cannot be scanned safely.", "`charset=utf-7`"
        ),
        Reason.CHARSET_MISMATCH: Row(
            Scope.PART,
            "The part's bytes do not fit its charset.",
            "`charset=utf-16` over an odd number of octets",
        ),
        Reason.PLAIN_TEXT: Row(
            Scope.PART,
            "The part is plain text, and wrapping its URLs is not configured.",
            "`Content-Type: text/plain`",
            "wrap_plain_text",
        ),
        Reason.OTHER_TYPE: Row(
            Scope.PART, "The part is neither HTML nor plain text.", "`Content-Type: image/png`"
        ),
        Reason.NO_PIXEL_PLACE: Row(
            Scope.PIXEL,
            "An open comment, style or element would swallow a pixel.",
            "`<p>text<!-- never closed`",
        ),
        Reason.ALREADY_TRACKED: Row(
            Scope.PIXEL,
            "The part already holds a pixel of ours.",
            '`<img src="https://TRACKING-HOST/o/TOKEN.gif">`',
        ),
        Reason.EMPTY: Row(Scope.LINK, "The link has no destination.", '<a href="">'),
        Reason.FRAGMENT: Row(
            Scope.LINK, "The link leads to a place in the message itself.", '<a href="#top">'
        ),
        Reason.RELATIVE: Row(Scope.LINK, "The link is relative.", '<a href="/offers">'),
        Reason.OTHER_SCHEME: Row(
            Scope.LINK, "The link is not http or https.", '<a href="mailto:info@shop.example">'
        ),
        Reason.PROTOCOL_RELATIVE: Row(
            Scope.LINK,
            "The link names no scheme (//host), and wrapping those is not configured.",
            '<a href="//shop.example/">',
            "protocol_relative",
        ),
        Reason.NO_HOST: Row(Scope.LINK, "The link names no host.", '<a href="http:///offers">'),
        Reason.ODD_HOST: Row(
            Scope.LINK,
            "The link's host is not written as a plain name or address.",
            '<a href="http://shop%2Eexample/">',
        ),
        Reason.USERINFO: Row(
            Scope.LINK,
            "The link carries a user name or password.",
            '<a href="https://ann:secret@shop.example/">',
        ),
        Reason.BLANK: Row(
            Scope.LINK, "The link holds a blank.", '<a href="https://shop.example/red apples">'
        ),
        Reason.CONTROL_CHARACTER: Row(
            Scope.LINK, "The link holds a control character.", '<a href="https://shop.example/&#1;x">'
        ),
        Reason.NON_ASCII: Row(
            Scope.LINK,
            "The link holds characters outside ASCII, which programs encode differently.",
            '<a href="https://shop.example/äpfel">',
        ),
        Reason.TEMPLATE: Row(
            Scope.LINK,
            "The link holds a placeholder that another program is to fill in.",
            '<a href="https://shop.example/{{name}}">',
        ),
        Reason.TOO_LONG: Row(
            Scope.LINK,
            "The link is so long that its tracking link would be cut by mail programs.",
            "a URL of about 3,000 characters",
        ),
        Reason.TOO_MANY_LINKS: Row(
            Scope.LINK,
            "The message has more links than may be wrapped in one message.",
            "the 1,001st link",
            "max_links",
        ),
        Reason.TOO_MANY_TAGS: Row(
            Scope.LINK,
            "The body has more tags than are looked at; what stands behind them stays.",
            "a body of hundreds of thousands of tags",
        ),
        Reason.LINE_TOO_LONG: Row(
            Scope.LINK,
            "The line would pass the 998 octets that SMTP permits.",
            "a link in a line of 990 octets that no encoding breaks",
        ),
        Reason.OPT_OUT: Row(
            Scope.LINK,
            "The author marked the link as not to be tracked.",
            '<a href="https://shop.example/" data-candor-no-track>',
        ),
        Reason.OWN_HOST: Row(
            Scope.LINK,
            "The link already leads to our tracking host.",
            '<a href="https://TRACKING-HOST/c/TOKEN">',
            "[tracker] public_url",
        ),
        Reason.ALREADY_WRAPPED: Row(
            Scope.LINK,
            "The link is already wrapped by another service.",
            '<a href="https://u1.ct.sendgrid.net/ls/click?upn=1">',
            "wrapped_hosts",
        ),
        Reason.LIST_UNSUBSCRIBE: Row(
            Scope.LINK,
            "The link also stands in the List-Unsubscribe field.",
            '<a href="https://list.example/leave?id=1">',
        ),
        Reason.UNSUBSCRIBE: Row(
            Scope.LINK,
            "The link looks like one for unsubscribing or for preferences.",
            '<a href="https://shop.example/unsubscribe?id=1">',
            "unsubscribe_patterns",
        ),
        Reason.SKIPPED_HOST: Row(
            Scope.LINK,
            "The configuration leaves links to this host alone.",
            '<a href="https://apps.apple.com/app/id1">',
            "skip_hosts",
        ),
        Reason.SKIPPED_PATTERN: Row(
            Scope.LINK,
            "The configuration leaves links of this form alone (login, reset, payment).",
            '<a href="https://shop.example/reset-password?id=1">',
            "skip_patterns",
        ),
        Reason.VISIBLE_URL: Row(
            Scope.LINK,
            "The visible text is an address; wrapped, the link would look like phishing.",
            '<a href="https://shop.example/">shop.example</a>',
            "wrap_visible_urls",
        ),
        Reason.OUTLOOK: Row(
            Scope.LINK,
            "The link is only seen by Outlook, and wrapping those is switched off.",
            '<!--[if mso]><a href="https://shop.example/">text</a><![endif]-->',
            "wrap_outlook",
        ),
        Reason.UNQUOTED_IN_COMMENT: Row(
            Scope.LINK,
            "The link stands without quotes inside a conditional comment.",
            "<!--[if mso]><a href=https://shop.example/>text</a><![endif]-->",
        ),
        Reason.TREE_CONSTRUCTION: Row(
            Scope.LINK,
            "An element before the link makes mail programs disagree on what follows.",
            '<svg><a href="https://shop.example/">',
        ),
        Reason.QUOTED_TEXT: Row(
            Scope.LINK, "The link stands in a quoted line of plain text.", "`> see https://shop.example/`"
        ),
        Reason.NOT_WANTED: Row(
            Scope.LINK,
            "The message asks that only the links of its text be tracked.",
            "`X-PM-TrackLinks: TextOnly`",
        ),
        Reason.DELIMITER: Row(
            Scope.PLACEHOLDER,
            "Filled in, the placeholder would leave a line that ends the part.",
            "`--{{open_pixel}}BOUNDARY`",
        ),
        Reason.IN_TAG: Row(
            Scope.PLACEHOLDER,
            "Filled in, the placeholder would begin or change a tag.",
            "`<{{tracking_preferences_url}}`",
        ),
        Reason.TOO_MANY_PLACEHOLDERS: Row(
            Scope.PLACEHOLDER,
            "The body has more placeholders or marks than are filled in.",
            "the 101st `{{tracking_preferences_url}}`",
        ),
    }
)
"""Every reason has exactly one row, in the order in which they are shown."""

EXPLANATIONS: Mapping[Reason, str] = {reason: row.explanation for reason, row in TABLE.items()}
