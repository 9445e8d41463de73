"""Credentials and e-mail addresses in a row's text.

The patterns are those of Yelp's detect-secrets, in the fork that is still released (`bc-detect-secrets`, kept by the
makers of Checkov), as far as they name a token by its form and take time linear in the text; where one of theirs does
not, or is missing, ours stands below. Its entropy and keyword plugins are left out: what they flag on 18,674 real rows
is the alphabet, hashes and `password = "your_password"` (docs/cleaning.md).

What is found is reported by kind and line; the secret itself is never returned.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

PINS = ("bc-detect-secrets",)
_LIBRARY = (  # with a literal without which the pattern cannot match: looking for it first saves most of the time
    (DiscordBotTokenDetector, "."), (GitHubTokenDetector, "gh"), (MailchimpDetector, "-us"),
    (PrivateKeyDetector, "Key-File-2"), (SendGridDetector, "SG."),
    (SlackDetector, "xox"), (SlackDetector, "hooks.slack"), (SquareOAuthDetector, "sq0csp-"),
    (StripeDetector, "k_live_"), (TwilioKeyDetector, "AC"), (TwilioKeyDetector, "SK"),
)  # fmt: skip
_JWT, _IN_URL, _KEY = "JSON Web Token", "Basic Auth Credentials", "Private Key"
_OURS = (
    # theirs look for `aws`, `key` and 40 characters near each other, which takes a minute on a hostile megabyte
    ("AWS Access Key", "A", r"\b(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}\b"),
    # theirs begin anywhere and have no upper bounds
    (_JWT, "eyJ", r"(?<![\w.=-])eyJ[\w=-]{8,2000}\.[\w=-]{8,4000}\.[\w+/=-]{8,2000}"),
    (
        _IN_URL,
        "://",
        r"://[^\s:/@{}<>$%'\"]{0,64}:([^\s:/@{}<>$'\"]{4,128})@(?!localhost|127\.)[\w-]{1,63}(?:\.\w|:\d)",
    ),
    # theirs want the key right behind the line that announces it, which indentation, CRLF and string literals prevent
    (_KEY, "PRIVATE KEY", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,200}?([A-Za-z0-9+/]{40})"),
    # not in the library
    ("Hugging Face Token", "hf_", r"\bhf_[A-Za-z0-9]{34}\b"),
    ("OpenAI or Anthropic API Key", "sk-", r"\bsk-(?:proj-|svcacct-|ant-)?[A-Za-z0-9_-]{32,200}"),
    ("Google API Key", "AIza", r"\bAIza[0-9A-Za-z_-]{35}\b"),
    ("GitHub Token", "github_pat_", r"\bgithub_pat_[0-9A-Za-z_]{82}\b"),
    ("GitLab Token", "glpat-", r"\bglpat-[0-9A-Za-z_-]{20}\b"),
    ("npm Token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
)
_PATTERNS = (
    *((plugin.secret_type, literal, pattern) for plugin, literal in _LIBRARY for pattern in plugin.denylist),
    *((kind, literal, re.compile(pattern)) for kind, literal, pattern in _OURS),
)
_STANDS_FOR_ONE = re.compile(
    r"example|sample|dummy|fake|your|xxx|placeholder|changeme|secret|passwd|\.\.\.|1234567|abcdef|user|pass",
    re.IGNORECASE,
)
_FEW_CHARACTERS = 8  # AKIAXXXXXXXXXXXXXXXX has 4 different ones; one of 10,000 real tokens of 20 characters has 8

_EMAIL = re.compile(
    r"""(?<![\w.+@/-]) ([A-Za-z0-9][\w.+-]{0,63})
    @ ((?:[A-Za-z0-9-]{1,63}\.){1,5} (?:[A-Za-z]{2,3}|info|name|mobi|tech|cloud|online|email
    |digital|academy|agency|systems|studio|solutions|services|group|world|software|university|company|science|museum
    |aero|asia)) (?![\w-]|\.\w|@)""",
    re.VERBOSE,
)
_NOBODY = re.compile(  # an address that stands for one, or for an office
    r"""(?:.|git|hg|svn|me|you|your.*|my(?:[._-].*|name|e?mail|user|address|id)?|user.*|name|first.*|last.*|test.*|foo.*|bar|baz|abc.*|xyz|example.*|sample|email
    |someone.*|somebody|recipient.*|sender.*|from|to|receiver.*|e-?mail.*|.*[._-]?doe\d*|johnsmith\d*|john\.smith|(?:alice|bob)[\d_]*
    |no-?reply|info|admin.*|support|contact|sales|help|hello|security|legal|press|jobs|office|webmaster|postmaster|root)""",
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip
_NOWHERE = re.compile(
    r"""(?:[\w-]+\.)*(?:example\d*|test|sample|domain|company|your\w*|my(?:site|domain|company|e?mail|server|host|app|org)\w*|some\w*|foo|bar|abc|xyz|acme|[a-z]
    |e-?mail(?=\.(?:com|org|net)\b)|leetcode|server|host|site|website|provider|users\.noreply\.github)(?:\.\w{2,4}){1,2}""",
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip


_IN_AN_ADDRESS = re.compile(r"://[^\s@]*$")


class Finding(NamedTuple):
    """What was found and on which line of the text, counted from 1."""

    kind: str
    line: int


def credentials(text: str) -> Iterator[Finding]:
    """Tokens, keys and passwords in URLs; not the ones that obviously stand for one (`AKIAXXXX...`, `your-key`)."""
    for kind, literal, pattern in _PATTERNS:
        for found in pattern.finditer(text) if literal in text else ():
            value = found[1] if kind in (_IN_URL, _KEY) else found[0]
            if not _is_placeholder(value, kind) and (kind != _JWT or JwtTokenDetector.is_formally_valid(value)):
                yield Finding(kind, text.count("\n", 0, found.start()) + 1)


def holds_credential(*texts: str | None) -> bool:
    """Whether one of the texts has a credential in it: such a text is not even shown on the screen."""
    return any(next(credentials(text), None) for text in texts if text)


def email_addresses(text: str) -> Iterator[Finding]:
    """Addresses of somebody: of no office (`info@`), not made up (`john.doe@`, `@example.com`), not SSH's (`git@`)."""
    for found in _EMAIL.finditer(text) if "@" in text else ():
        if _IN_AN_ADDRESS.search(text, max(0, found.start() - 200), found.start()):
            continue  # user:password@host
        if not _NOBODY.fullmatch(found[1]) and not _NOWHERE.fullmatch(found[2]):
            yield Finding("e-mail address", text.count("\n", 0, found.start()) + 1)


def _is_placeholder(value: str, kind: str) -> bool:
    if kind == _KEY:  # so many random characters say `user` or `xxx` sooner or later
        return len(set(value)) < _FEW_CHARACTERS
    return bool(_STANDS_FOR_ONE.search(value)) or (kind != _IN_URL and len(set(value)) < _FEW_CHARACTERS)
