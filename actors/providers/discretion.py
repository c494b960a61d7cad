"""Discretion: what of a call is cut out of an upstream's words before they are judged, logged or shown."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from limner.actors.providers.base import Access

SHORT = 8
"""Characters of a prompt below which it is cut out of an upstream's words only where it is quoted; and of what an extra header
carries, such as a language, below which it is no secret."""
SHORT_PASSWORD = 4
"""Characters below which a password stands in too many words to be cut out of them: nobody could judge by what is left."""
SHORT_SIGNS = 2
"""Characters of a prompt for the same where a sign is a word, as in Chinese."""
ELLIPSIS = "..."
"""Where an upstream left something out of what it quotes; also the one sign for it, once it is plain."""
JUDGED = 2**14
"""Characters of what an upstream says that are judged, once the caller's are out of it."""
READ = 2**16
"""Characters of it that are looked at at all: twice the longest prompt."""
RUN, RUN_SIGNS = 16, 6
"""Characters in a row that an upstream has of the caller when both have them; and when one of them is a sign for a word."""
PIECE = 3
"""Characters beside a mark of omission below which they are the caller's only as a word."""
SIGNS = "\u2e80"
"""Where signs for words begin, as in Chinese."""
UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]"
)
"""Characters without a width, which an upstream may drop before it quotes."""


def secrets(access: Access) -> tuple[str, ...]:
    """What must never be written down of an access, nor judged: its key, its proxy's password, what its extra headers carry,
    unless that is too short, and the caller's own words, as an upstream may quote them."""
    proxy = access.proxy or ""
    headers = access.settings.get("extra_headers")
    carried = map(str, headers.values()) if isinstance(headers, Mapping) else ()
    words = (*_quoted(access.prompt), *_texts(access))
    kept = (access.secret, proxy, *_signed_in(proxy), *(each for each in carried if len(each) >= SHORT))
    return tuple(filter(None, (*kept, *map(_escaped, kept), *words)))


def caller(access: Access) -> tuple[str, ...]:
    """The caller's own words, as plain as the upstream's are made."""
    return tuple(map(plain, (access.prompt, *access.texts)))


def plain(text: str) -> str:
    """The one form of what looks the same, since an upstream may quote another one than it was sent. One sign may become
    eighteen: no more than READ characters are made of a text that is shorter."""
    return unicodedata.normalize("NFKC", UNSEEN.sub("", text))[: max(len(text), READ)]


def _escaped(secret: str) -> str:
    """As it stands in JSON that is shown as it came: with a quotation mark or a backslash in it, it looks different there."""
    return json.dumps(secret)[1:-1]


def _signed_in(proxy: str) -> list[str]:
    """A proxy's password, and a name that is no everyday word: as they stand in its address, and as they are meant."""
    parts = urlsplit(proxy) if "://" in proxy else urlsplit("")
    told = ((parts.password or "", SHORT_PASSWORD), (parts.username or "", SHORT))
    return [form for each, least in told for form in (each, unquote(each)) if len(form) >= least]


def _texts(access: Access) -> list[str]:
    """One everyday word alone could be a choice, such as transparent, and is cut out only where it is quoted."""
    return [
        form
        for text in access.texts
        for form in _quoted(text, len(text) + 1 if _is_word(plain(text).strip()) else SHORT)
    ]


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalpha()


def _quoted(prompt: str, short: int = SHORT) -> list[str]:
    """One of less than ``short`` characters in quotation marks alone: it could be part of any word."""
    seen, whole = " ".join(plain(prompt).split()), prompt.strip()
    forms = {
        whole,
        " ".join(prompt.split()),
        json.dumps(whole)[1:-1],
        json.dumps(whole, ensure_ascii=False)[1:-1],
        repr(whole)[1:-1],
    }
    if len(seen) < (short if seen.isascii() else SHORT_SIGNS):
        forms = {f"{mark}{form}{mark}" for form in forms for mark in "'\"`"} if seen else set()
    return sorted(forms - {""}, key=len, reverse=True)


def without(text: str, secrets: Sequence[str]) -> str:
    """What an upstream says by itself: a caller's words that it quotes, whole or any part of them, are no judgement on the key
    that it was asked with. Cut to JUDGED characters, and only when they are out: half a quotation is still theirs."""
    known = sorted({_low(" ".join(plain(each).split())) for each in secrets} - {""})
    begins = {each[:size] for each in known for size in range(1, RUN)}
    ends = {each[-size:] for each in known for size in range(1, RUN)}
    text = " ".join(plain(text[:READ]).split())
    # What is a part of another comes last: cut out of a quotation of it, it would leave pieces that nobody knows.
    longest = [each for each in known if not any(each in other for other in known if other is not each)]
    for find, sought in ((_wholes, longest), (_runs, known), (_wholes, known)):
        text = _cut_out(text, find(_low(text), sought))
    text = text[:JUDGED]
    return _trimmed(ELLIPSIS.join(_uncut(text.split(ELLIPSIS), begins, ends)), begins, ends)


def _low(text: str) -> str:
    """In lower case, and as long as it was: that one letter becomes two."""
    return text.replace("\u0130", "I").lower()


def _cut_out(text: str, places: Iterable[tuple[int, int]]) -> str:
    kept, done = list[str](), 0
    for begin, end in sorted(places):
        if begin >= done:
            kept += [text[done:begin], "***"]
        done = max(done, end)
    return "".join([*kept, text[done:]])


def _wholes(low: str, known: Sequence[str]) -> Iterator[tuple[int, int]]:
    for each in known:
        at = low.find(each)
        while at >= 0:
            yield at, at + len(each)
            at = low.find(each, at + len(each))


def _runs(low: str, known: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Every run of characters that is a part of what is known, and too long to stand in both by chance."""
    for run, least in ((RUN, ""), (RUN_SIGNS, SIGNS)) if max(low, default="") >= SIGNS else ((RUN, ""),):
        near = _near(low, known, run // 2)
        shared = set(_grams(low, run)).intersection(gram for each in near for gram in _grams(each, run)) if near else ()
        if shared:
            grams = ((at, gram) for at, gram in enumerate(_grams(low, run)) if gram in shared)
            yield from ((at, at + run) for at, gram in grams if not least or max(gram) >= least)


def _near(low: str, known: Sequence[str], half: int) -> list[str]:
    """Those of which a run could stand there: every run has one of these halves in it, a ninth of all that there are. A prompt
    may be long, and the process waits."""
    halves = set(_grams(low, half))
    return [each for each in known if not halves.isdisjoint(_grams(each, half, half + 1))]


def _grams(text: str, size: int, step: int = 1) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text) - size + 1, step))


def _uncut(parts: list[str], begins: Container[str], ends: Container[str]) -> list[str]:
    """What stands around marks of omission, without the beginnings and ends of what is quoted."""
    for place in range(len(parts) - 1):
        before, after = parts[place], parts[place + 1]
        parts[place] = before[: len(before) - _begun(before, begins)]
        parts[place + 1] = after[_ended(after, ends) :]
    return parts


def _trimmed(text: str, begins: Container[str], ends: Container[str]) -> str:
    """A text may have been cut where it begins and where it ends, and no mark tells of it."""
    begun, ended = _begun(text, begins), _ended(text, ends)
    return text[ended if ended >= SHORT else 0 : len(text) - (begun if begun >= SHORT else 0)]


def _begun(text: str, begins: Container[str]) -> int:
    """Characters at the end of a text that are the beginning of something known; longer ones are cut out already."""
    low = _low(text[-RUN:])
    sizes = range(min(len(low), RUN - 1), 0, -1)
    return next((size for size in sizes if low[-size:] in begins and _stands(low[-size - 1 : -size], low[-size:])), 0)


def _ended(text: str, ends: Container[str]) -> int:
    """Characters at the beginning of a text that are the end of something known."""
    low = _low(text[:RUN])
    sizes = range(min(len(low), RUN - 1), 0, -1)
    return next((size for size in sizes if low[:size] in ends and _stands(low[size : size + 1], low[:size])), 0)


def _stands(beside: str, piece: str) -> bool:
    """A letter or two of a word, beside the rest of it, are the upstream's own by chance."""
    return len(piece) >= PIECE or not beside.isalnum() or max(beside, piece) >= SIGNS
