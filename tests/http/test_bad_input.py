"""What no browser sends: every route answers it with a plain refusal, never with a crash."""

from __future__ import annotations

import asyncio
import resource

import pytest
from yarl import URL

from tests.http.conftest import Browser, drawn
from tests.http.sitemap import places

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FIELDS = (
    "prompt", "email", "password", "current", "next", "reason", "label", "secret", "provider", "count", "thread", "picture",
    "idempotency_key", "act", "state", "switch", "credits", "banned", "size", "model", "code",
    "proof_form", "proof_password", "proof_code",
    "plan", "days",
    "to", "message", "word", "gives", "quantity", "currency", "ends_at", "most_uses", "gift_plan",
)  # fmt: skip
LONE = b"\\ud800"
BODIES = {
    "nothing": {},
    "an empty list": {"json": []},
    "null": {"json": None},
    "a string": {"json": "x"},
    "a nested list": {"data": b"[" * 100_000 + b"]" * 100_000, "headers": {"Content-Type": "application/json"}},
    "bytes that are no text": {"data": b"prompt=\xff\xfe%ff%ed%a0%80", "headers": FORM},
    "an unknown charset": {"data": b"a=b", "headers": {"Content-Type": FORM["Content-Type"] + "; charset=klingon"}},
    "a charset that is no charset": {"data": b"a=b", "headers": {"Content-Type": FORM["Content-Type"] + "; charset=hex"}},
    "lone surrogates": {
        "data": b"&".join(
            name.encode() + b"=" + LONE for name in FIELDS
        ),
        "headers": {"Content-Type": FORM["Content-Type"] + "; charset=raw_unicode_escape"},
    },
    "NULs everywhere": {
        "data": dict.fromkeys(FIELDS, "a\x00b"),
    },
    "two of each": {"data": "&".join(f"{name}=1&{name}=2" for name in FIELDS), "headers": FORM},
    "a multipart without a boundary": {"data": b"--x--", "headers": {"Content-Type": "multipart/form-data"}},
    "a multipart that is cut off": {
        "data": b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nhalf',
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "a NUL in a file name": {
        "data": b'--x\r\nContent-Disposition: form-data; name="reference"; filename="a\x00b.png"\r\n\r\nx\r\n--x--\r\n',
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "a part without a name": {
        "data": b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n",
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "a part without headers": {
        "data": b"--x\r\n\r\nx\r\n--x--\r\n",
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "a multipart in a multipart": {
        "data": b'--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nz\r\n--y--\r\n--x--\r\n',
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "a broken transfer encoding": {
        "data": b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--\r\n',
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "an endless boundary": {"data": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=" + "b" * 500}},
    "a broken content type": {"data": b"x", "headers": {"Content-Type": ";;;=;"}},
    "a packed body that is none": {"data": b"x", "headers": FORM | {"Content-Encoding": "gzip"}},
}  # fmt: skip
QUERIES = (
    "?q=%00&before=%00&prompt=%00&next=%00&state=%00&reference=%00&since=%00&count=%00",
    "?q=%ff&before=%ff~%ff&prompt=%ED%A0%80&next=http://[&model=%ff&since=%ff",
    "?before=0001-01-01~00000000-0000-0000-0000-000000000000&since=0001-01-01",
    "?before=9999-12-31T23:59:59-23:59~00000000-0000-0000-0000-000000000000&since=9999-12-31T23:59:59-23:59",
    "?before=-1&count=-1&reference=x&q=%25%5f&download=x",
    "?before=99999999999999999999999&q=" + "x" * 3000,
    "?&&&==&=x&%",
)
IDS = ("%00", "%ff", "%ED%A0%80", "0", "-1", "9" * 30, "x" * 3000, "..%2f..%2fetc%2fpasswd", "{7}", "'", "é")


async def walk(browser: Browser, place, **options) -> int:
    """The status alone, whatever the body does."""
    async with browser.client.request(
        place.method, browser.site.url + place.path, allow_redirects=False, **options
    ) as answer:
        return answer.status


NOT_SET_UP = ("/hooks/btcpay", "/hooks/stripe")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["stranger", "alice", "carol"])
async def test_no_body_crashes_any_route(site, cast, alice, carol, stranger, who):
    sitemap = await places(site, cast, alice)
    browser = {"stranger": stranger, "alice": alice, "carol": carol}[who]
    wrong = []
    for name, options in BODIES.items():
        await _signed_in_again(browser, cast, who)
        about = {**options.get("headers", {}), "X-CSRF-Token": await browser.csrf()}
        for place in sorted(sitemap, key=lambda place: place.path == "/logout"):
            status = await walk(browser, place, **options | {"headers": about})
            if status >= 500 and not (status == 503 and place.pattern in NOT_SET_UP):
                wrong.append(f"{place.name} with {name}: {status}")
    assert wrong == []


async def _signed_in_again(browser: Browser, cast, who: str) -> None:
    if who != "stranger":
        await browser.sign_in(cast.alice if who == "alice" else cast.carol)


MALFORMED = (
    "a NUL in a file name", "a multipart that is cut off", "a part without a name", "a multipart in a multipart",
    "a multipart without a boundary", "an unknown charset",
)  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_form_is_a_plain_400(alice, name):
    options = BODIES[name]
    about = {**options["headers"], "X-CSRF-Token": await alice.csrf()}
    page = await alice.send("POST", "/generations", **options | {"headers": about})
    assert (page.status, "could not be read" in page.text) == (400, True)


async def test_text_that_cannot_be_stored_is_refused_on_the_same_page(alice, stranger):
    options = BODIES["lone surrogates"]
    for browser, path in ((alice, "/generations"), (stranger, "/login"), (stranger, "/register")):
        about = {**options["headers"], "X-CSRF-Token": await browser.csrf()}
        page = await browser.send("POST", path, data=options["data"], headers=about)
        assert page.status == 400
        assert "<form" in page.text


@pytest.mark.timeout(300)
async def test_no_address_crashes_any_route(site, cast, alice, carol):
    wrong = []
    for place in await places(site, cast, alice):
        if place.method != "GET":
            continue
        prefix, _, rest = place.pattern.partition("{")
        bent = [place.path + query for query in QUERIES]
        bent += [prefix + bad + rest.partition("}")[2].replace("/{path}", "/x.css") for bad in IDS] if rest else []
        for path in bent:
            for browser in (alice, carol):
                async with browser.client.get(URL(site.url + path, encoded=True), allow_redirects=False) as answer:
                    if answer.status >= 500:
                        wrong.append(f"{path[:120]}: {answer.status}")
    assert wrong == []


async def test_raw_bytes_in_the_address_are_no_crash(site, alice):
    cookie = f"Cookie: session={alice.session}\r\n".encode()
    for path in (
        b"/\xff\xfe", b"/gallery?before=\xff", b"/admin/users?q=\xed\xa0\x80", b"/studio?prompt=\xff", b"//", b"/?\x7f",
        b"/login?next=\xff", b"/pictures/\xff", b"/static/0/\xff.css", b"http://other.test/dashboard", b"*",
    ):  # fmt: skip
        answer = await site.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + cookie + b"\r\n")
        assert int(answer.split(b" ")[1]) < 500, path


HOSTILE = ["'; drop table account; --", "\" or ''='", "${7*7}", "{{7*7}}", "%s%n", "../../x", "é", "x" * 4000]


HEADERS = (
    "User-Agent", "Referer", "Accept", "Accept-Language", "X-Forwarded-For", "If-None-Match", "If-Modified-Since", "Range",
    "HX-Request", "Authorization", "Idempotency-Key", "X-Request-Id", "Host",
)  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
async def test_no_header_crashes_or_is_believed(site, alice, stranger, name):
    for value in HOSTILE:
        for path in ("/", "/gallery", "/health/ready", "/static/0/limner.css"):
            page = await alice.send("GET", path, headers={name: value})
            assert page.status < 500, (name, value, path)
    assert (await stranger.send("GET", "/dashboard", headers={name: HOSTILE[0]})).status in (303, 401)


async def test_a_browser_with_a_strange_name_can_log_in(site):
    body = "email=alice%40example.com&password=alice-likes-vermilion&csrf="
    for agent in (b"\xff\xfe", b"\xed\xa0\x80 browser", b"x" * 5000):
        page = (await site.raw(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).decode()
        visitor = page.partition("visitor=")[2].partition(";")[0]
        token = page.partition('name="csrf" value="')[2].partition('"')[0]
        sent = (body + token).encode()
        answer = await site.raw(
            b"POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            b"User-Agent: " + agent + b"\r\nCookie: visitor=" + visitor.encode() + b"\r\n"
            b"Content-Length: " + str(len(sent)).encode() + b"\r\n\r\n" + sent
        )
        assert answer.startswith(b"HTTP/1.1 303 "), agent


async def test_a_cookie_that_does_not_fit_is_nobody(site, alice):
    token = alice.session
    assert token is not None
    for cookie in (
        "session=", "session=x", f"session={token[:-1]}", f"session={token}x", "session=" + "x" * 3000,
        f"session={token.upper()}", "session=%00", "session=\xff\xfe", "session=' or 1=1 --", f"Session={token}",
        f"sid={token}", "=;=;;", ";;;", "session", 'session="', f"session=%s{token}", "session=\t", "\x7f=\x7f",
        f"__Host-session={token}", "visitor=" + "v" * 4000, "visitor=\xff" * 30,
        "; ".join(f"c{number}=x" for number in range(500)),
    ):  # fmt: skip
        sent = (
            b"GET /dashboard HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: "
            + cookie.encode("latin-1")
            + b"\r\n\r\n"
        )
        status = int((await site.raw(sent)).split(b" ")[1])
        assert status in (303, 400), cookie[:60]


async def test_of_two_session_cookies_at_most_one_counts(site, alice, bob):
    for first, second in ((alice, bob), (bob, alice)):
        cookie = f"Cookie: session={first.session}; session={second.session}\r\nCookie: session=x\r\n"
        answer = (
            await site.raw(f"GET /account HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{cookie}\r\n".encode())
        ).decode()
        assert ("alice@example.com" in answer) + ("bob@example.com" in answer) <= 1
        assert int(answer.split(" ")[1]) in (200, 303)


async def test_very_many_small_parts_are_refused_without_eating_the_memory(alice):
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    body = part * 200_000 + b"--x--\r\n"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    page = await alice.send(
        "POST",
        "/generations",
        data=body,
        headers={"Content-Type": "multipart/form-data; boundary=x", "X-CSRF-Token": await alice.csrf()},
    )
    assert page.status in (400, 413)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 200


async def test_a_form_has_few_fields(alice):
    page = await alice.post("/generations", [(f"field{number}", "x") for number in range(100)])
    assert (page.status, "too many fields" in page.text) == (400, True)


async def test_whoever_leaves_in_the_middle_of_a_form_harms_nobody(site, alice):
    head = b"POST /generations HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    cookie = f"Cookie: session={alice.session}\r\nX-CSRF-Token: {await alice.csrf()}\r\n".encode()
    port = int(site.url.rpartition(":")[2])
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + cookie + b"Content-Length: 100000\r\n\r\n--x\r\nContent-Disposition: form-data; name=")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    files = [("reference", "a.png", drawn(), "image/png")]
    page = await alice.post("/generations", {"prompt": "x", "model": "demo", "size": "512x512"}, files=files)
    assert page.status == 303


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get"])
async def test_another_method_is_not_allowed(site, method):
    answer = await site.raw(f"{method} /studio HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert int(answer.split(b" ")[1]) in (400, 404, 405)


async def test_raw_bytes_in_the_query_are_no_crash_where_it_is_shown_again(site, carol, db):
    """Also where somebody is asked on the way who they are: the form that waits keeps its address.

    aiohttp's parser in C lets none of them in; the one in Python (AIOHTTP_NO_EXTENSIONS=1) does.
    """
    cookie = f"Cookie: session={carol.session}\r\nX-CSRF-Token: {await carol.csrf()}\r\n".encode()
    for path in (b"/admin/charts?from=\xff", b"/admin/charts/revenue?to=\xed\xa0\x80", b"/admin/charts?range=\xff"):
        answer = await site.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + cookie + b"\r\n")
        assert answer.split(b" ")[1] == b"400", path
    await db.execute("update session set proved_at = now() - interval '11 minutes'")
    for body in (b"reason=x", b"proof_form=x&proof_password=wrong-wrong"):
        head = b"POST /admin/mails/acts?x=\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + cookie
        head += b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert (await site.raw(head + body)).split(b" ")[1] in (b"400", b"401")
