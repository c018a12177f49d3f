"""The names of clients and systems that events may hold, as ua-parser spells them. Pure.

Some of that library's patterns take the name out of the user agent as it stands, and there anybody may write anything:
a person's name, an address, an advertisement. What is not named here is `other`.
"""

from __future__ import annotations

OTHER = "other"

_MAIL = (
    "AOL Desktop Gold Browser|Airmail|Apple Mail|Barca|Eudora|Evolution|GmailImageProxy|Lightning|Lotus Notes|Outlook"
    "|Outlook-iOS|Postbox|SeaMonkey|Spicebird|Superhuman|The Bat!|Thunderbird|Windows Live Mail|Word|YahooMailProxy"
    "|Mobile Safari UI/WKWebView|Chrome Mobile WebView"
)
_BROWSERS = (
    "115 Browser|360 Secure Browser|AOL|AOL Shield Browser|AdobeAIR|Aloha Browser|Amazon Silk|Android|Arora|Avant"
    "|Avast Secure Browser|AVG|Avira|Baidu Browser|Baidu Explorer|Basilisk|BlackBerry|BlackBerry WebKit|Brave|CCleaner"
    "|Camino|Chrome|Chrome Frame|Chrome Mobile|Chrome Mobile iOS|Chromium|Coc Coc|Comodo Dragon|Conkeror|Dillo|Dolphin"
    "|DuckDuckGo|DuckDuckGo Mobile|ELinks|Ecosia Android|Ecosia iOS|Edge|Edge Mobile|Epiphany|Falkon|Fennec|Firefox"
    "|Firefox Alpha|Firefox Beta|Firefox Mobile|Firefox iOS|Flock|Galeon|HeadlessChrome|HeyTap Browser|HiBrowser"
    "|Honor Browser|Huawei Browser|IE|IE Large Screen|IE Mobile|IceCat|Iceape|Iceweasel|Iron|K-Meleon|Kindle|Konqueror"
    "|Ladybird|Links|Lynx|Maxthon|Microsoft Teams|Midori|Mint Browser|MiuiBrowser|Mobile Safari|MullvadBrowser"
    "|Mypal Browser|NetFront|Netscape|Nokia Browser|Norton|Oculus Browser|OmniWeb|Opera|Opera Coast|Opera GX|Opera Mini"
    "|Opera Mobile|Opera Neon|Opera Tablet|Opera Touch|Ovi Browser|Pale Moon|PaleMoon|PhantomJS|Phoenix Browser|Puffin"
    "|QQ Browser|QQ Browser Mini|QQ Browser Mobile|Qt Web Engine|QupZilla|Quark|Quark PC|Rekonq|Safari|Sailfish Browser"
    "|Samsung Internet|Seznam prohlížeč|Sleipnir|Smart Lenovo Browser|Sogou Explorer|Steam Client|Swiftfox"
    "|Tizen Browser|UC Browser|Uzbl|Vewd Browser|Vivaldi|VivoBrowser|Waterfox|WebKit Nightly|Whale|Wolvic Browser"
    "|Yandex Browser|iCab"
)
_APPS = (
    "Facebook|Facebook Messenger|Flipboard|Google|HipChat Desktop Client|Instagram|KakaoTalk|LINE|Nextcloud|Owncloud"
    "|Pinterest|Salesforce|Skype|Slack Desktop Client|Snapchat|Telegram|TikTok|Twitter|WeChat Browser|Weibo"
)
_PROGRAMS = (
    "Apache-HttpClient|CFNetwork|FacebookBot|Go-http-client|Google-HTTP-Java-Client|Googlebot|HTTPClient|HTTrack|Java"
    "|LinkedInBot|Microsoft-CryptoAPI|OpenVAS Scanner|PingdomBot|Pinterestbot|PostmanRuntime|PycURL|Python Requests"
    "|Python aiohttp|Python-urllib|Spider|Twitterbot|Wget|WinHTTP|WindowsPowerShell|YandexBot|axios|bingbot|curl"
    "|libwww-perl|okhttp|reqwest"
)
CLIENTS = frozenset("|".join((_MAIL, _BROWSERS, _APPS, _PROGRAMS)).split("|"))
_SYSTEMS = (
    "ATV OS X|Android|Arch Linux|BlackBerry OS|BlackBerry Tablet OS|CentOS|Chrome OS|Debian|Fedora|Firefox OS|FreeBSD"
    "|Gentoo|HarmonyOS|KaiOS|Kindle|Kubuntu|Linux|Linux Mint|Lubuntu|Mac OS|Mac OS X|Maemo|Mageia|Mandriva|MeeGo|NetBSD"
    "|OpenBSD|Red Hat|SUSE|Sailfish|Slackware|Solaris|Symbian OS|Tizen|Ubuntu|WatchOS|Windows|Windows Mobile"
    "|Windows Phone|iOS|openSUSE|tvOS|webOS"
)
SYSTEMS = frozenset(_SYSTEMS.split("|"))


def known(name: str, names: frozenset[str]) -> str:
    """The name where it is one of these; `other` where it is another, `""` where there is none."""
    return name if name in names or not name else OTHER
