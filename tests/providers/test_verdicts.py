"""Every answer of an OpenAI-style upstream becomes exactly one fault."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest

from limner.actors.providers import a1111, discretion, fal_answers, gemini_answers, replicate, stability
from limner.actors.providers.base import WORDS, Access, Fault, UpstreamError
from limner.actors.providers.relay import RELAYED
from limner.actors.providers.rules import OF_KEYS, RULES, judge
from limner.actors.providers.verdicts import Answer, delay, verdict
from tests.upstreams.openai import error

KEY = "sk-live-abcdefghijklmnopqrstuvwx"


def told(status: int, body: dict[str, Any] | bytes, **headers: str) -> UpstreamError:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return verdict(Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw), (KEY,))


def blocked(stage: str, *categories: str) -> dict[str, Any]:
    details = {"moderation_stage": stage, "categories": list(categories)}
    text = "Your request was rejected by the safety system. safety_violations=[violence]."
    return error("moderation_blocked", text, "image_generation_user_error", moderation_details=details)


ANSWERS: list[tuple[int, dict[str, Any] | bytes, Fault]] = [
    (400, blocked("input", "violence"), Fault.MODERATION_INPUT),
    (400, blocked("unknown"), Fault.MODERATION_INPUT),
    (400, blocked("output", "sexual"), Fault.MODERATION_OUTPUT),
    (400, error("content_policy_violation", "Your request was rejected"), Fault.MODERATION_INPUT),
    (500, error("content_policy_violation", "rejected", "server_error"), Fault.MODERATION_INPUT),
    (451, b"", Fault.MODERATION_INPUT),
    (
        500,
        error("channel:image_generation_failed", "image generation failed [IMAGE_SAFETY]", "channel_error"),
        Fault.MODERATION_OUTPUT,
    ),
    (400, error("billing_hard_limit_reached", "Billing hard limit has been reached"), Fault.BALANCE_EXHAUSTED),
    (402, error(None, "Insufficient credits"), Fault.BALANCE_EXHAUSTED),
    (402, b"Payment Required", Fault.BALANCE_EXHAUSTED),
    (
        429,
        error("insufficient_quota", "You exceeded your current quota", "insufficient_quota"),
        Fault.BALANCE_EXHAUSTED,
    ),
    (429, error("credit_balance_exhausted", "no credits", "insufficient_quota"), Fault.BALANCE_EXHAUSTED),
    (429, error("organization_spend_limit_exceeded", "limit", "insufficient_quota"), Fault.BALANCE_EXHAUSTED),
    (429, error("project_spend_limit_exceeded", "limit", "insufficient_quota"), Fault.BALANCE_EXHAUSTED),
    (429, error("organization_usage_limit_exceeded", "limit", "insufficient_quota"), Fault.BALANCE_EXHAUSTED),
    (403, error("insufficient_user_quota", "user quota is not enough", "new_api_error"), Fault.BALANCE_EXHAUSTED),
    (400, error(None, "Invalid value: 'size'", param="size"), Fault.INVALID_REQUEST),
    (400, error("unknown_parameter", "Unknown parameter: 'style'."), Fault.INVALID_REQUEST),
    (413, b"<html>Request Entity Too Large</html>", Fault.INVALID_REQUEST),
    (415, {"error": "Unsupported media type"}, Fault.INVALID_REQUEST),
    (422, {"detail": "prompt too long"}, Fault.INVALID_REQUEST),
    (401, error("invalid_api_key", "Incorrect API key provided"), Fault.AUTH_DEAD),
    (401, error(None, "You must be a member of an organization to use the API"), Fault.AUTH_DEAD),
    (401, b"", Fault.AUTH_DEAD),
    (403, error("account_deactivated", "The account has been deactivated"), Fault.AUTH_DEAD),
    (401, error("ip_not_authorized", "Your IP is not on the allowlist of this key"), Fault.REGION_BLOCKED),
    (
        403,
        error("unsupported_country_region_territory", "Country, region, or territory not supported"),
        Fault.REGION_BLOCKED,
    ),
    (403, error(None, "Your organization must be verified to use the model `gpt-image-2`."), Fault.MODEL_UNAVAILABLE),
    (403, error("model_not_found", "Project does not have access to model"), Fault.MODEL_UNAVAILABLE),
    (404, error("model_not_found", "The model 'gpt-image-1' does not exist"), Fault.MODEL_UNAVAILABLE),
    (400, error(None, "The model `dall-e-3` has been deprecated"), Fault.MODEL_UNAVAILABLE),
    (
        503,
        error("model_not_found", "No available channel for model gpt-image-2", "new_api_error"),
        Fault.MODEL_UNAVAILABLE,
    ),
    (404, b"404 page not found", Fault.MODEL_UNAVAILABLE),
    (
        429,
        error("rate_limit_exceeded", "Rate limit reached for images per minute", "rate_limit_error"),
        Fault.RATE_LIMITED,
    ),
    (429, error("slow_down", "Slow down", "rate_limit_error"), Fault.RATE_LIMITED),
    (429, b"Too Many Requests", Fault.RATE_LIMITED),
    (429, error("rate_limit_exceeded", "Rate limit reached on requests per day (RPD)", "requests"), Fault.DAILY_QUOTA),
    (407, b"", Fault.PROXY_FAILED),
    (408, b"", Fault.TIMEOUT_UNKNOWN),
    (504, b"<html>Gateway Timeout</html>", Fault.TIMEOUT_UNKNOWN),
    (524, b"<html>A timeout occurred</html>", Fault.TIMEOUT_UNKNOWN),
    (500, error(None, "The server had an error", "server_error"), Fault.UPSTREAM_5XX),
    (502, b"<html>Bad gateway</html>", Fault.UPSTREAM_5XX),
    (503, error("server_is_overloaded", "overloaded", "service_unavailable_error"), Fault.UPSTREAM_5XX),
    (302, b"", Fault.UPSTREAM_5XX),
    (200, error("insufficient_quota", "quota"), Fault.BALANCE_EXHAUSTED),
    (200, b"{}", Fault.NO_IMAGE),
    (200, b"[1]", Fault.NO_IMAGE),
]


@pytest.mark.parametrize(("status", "body", "fault"), ANSWERS)
def test_an_answer_is_exactly_one_fault(status: int, body: dict[str, Any] | bytes, fault: Fault) -> None:
    assert told(status, body).fault is fault


@pytest.mark.parametrize(("status", "body", "is_vague"), [
    (403, error("request_denied", "Denied by gateway rule 17."), True),
    (403, b"<html>Forbidden</html>", True),
    (403, error("model_not_found", "no"), False),
    (403, error(None, "This token has no access to model gpt-image-2"), False),
    (403, error(None, "\u8be5\u4ee4\u724c\u65e0\u6743\u8bbf\u95ee\u6a21\u578b gpt-image-2"), False),
    (404, b"404 page not found", False),
    (403, error("invalid_api_key", "no"), False),
])  # fmt: skip
def test_a_403_in_unknown_words_may_be_about_the_order(
    status: int, body: dict[str, Any] | bytes, is_vague: bool
) -> None:
    assert told(status, body).is_vague is is_vague


@pytest.mark.parametrize("status", range(100, 1000, 7))
def test_every_status_has_a_fault_even_without_words(status: int) -> None:
    assert judge(status, "") in Fault


def stamp(seconds: int) -> str:
    """An HTTP date, that many seconds from a certain noon."""
    return format_datetime(datetime(2026, 11, 23, 12, 0, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(("headers", "message", "seconds"), [
    ({"retry-after": "2"}, "", 2.0),
    ({"retry-after": "1.5"}, "", 1.5),
    ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
    ({"retry-after": stamp(40), "date": stamp(0)}, "", 40.0),
    ({"retry-after": stamp(-86400), "date": stamp(0)}, "", 0.0),
    ({"retry-after": "soon"}, "", None),
    ({"retry-after": "nan"}, "", None),
    ({"retry-after": "-3"}, "", None),
    ({}, "Please try again in 12s.", 12.0),
    ({}, "Please try again in 1m3.5s. Visit", 63.5),
    ({}, "try again in 20ms", 0.02),
    ({}, "try again in 2h", 7200.0),
    ({}, "try again later", None),
    ({}, "", None),
])  # fmt: skip
def test_the_delay_is_read_wherever_it_is_said(headers: dict[str, str], message: str, seconds: float | None) -> None:
    assert delay(headers, message) == seconds


@pytest.mark.parametrize(("after", "fault"), [("119", Fault.RATE_LIMITED), ("86400", Fault.DAILY_QUOTA)])
def test_a_delay_beyond_two_minutes_is_a_daily_quota(after: str, fault: Fault) -> None:
    caught = told(429, error("rate_limit_exceeded", "Rate limit reached"), retry_after=after)
    assert (caught.fault, caught.after) == (fault, float(after))


def test_the_operator_reads_status_text_and_request_but_never_the_key() -> None:
    caught = told(401, error("invalid_api_key", f"Incorrect API key provided: {KEY}"), x_request_id="req_77")
    assert "HTTP 401" in caught.detail
    assert "req_77" in caught.detail
    assert KEY not in caught.detail + caught.words + repr(caught)


def test_the_user_reads_known_categories_and_nothing_of_the_upstreams_text() -> None:
    caught = told(400, blocked("input", "violence/graphic", "internal: acct-991"))
    assert caught.words == "The painter refused this description because of its content rules (violence, graphic)."
    assert caught.categories == ("violence/graphic",)
    assert told(400, blocked("input")).words == WORDS[Fault.MODERATION_INPUT]
    assert told(400, blocked("input", "violence/acct-991", "acct-991/violence")).categories == ()
    assert told(500, error(None, "cluster eu-7 of Acme Relay fell over")).words == WORDS[Fault.UPSTREAM_5XX]


def test_categories_are_read_out_of_a_message_that_comes_without_details() -> None:
    text = "Rejected by the safety system. safety_violations=[sexual, self-harm/intent, acct-991, sexual]."
    caught = told(400, error("moderation_blocked", text, "image_generation_user_error"))
    assert caught.categories == ("sexual", "self-harm/intent")
    assert told(400, error("moderation_blocked", "Rejected. safety_violations=[")).categories == ()
    limited = error("rate_limit_exceeded", "Rate limit reached", moderation_details={"categories": ["sexual"]})
    assert told(429, limited).categories == ()


def test_a_secret_across_the_edge_of_what_is_kept_leaves_nothing_of_itself():
    secret = "opaque-" + "z" * 40
    for before in range(360, 500, 7):
        error = verdict(Answer(500, {}, b"x" * before + secret.encode() + b" and more"), (secret,))
        assert "opaque" not in error.detail


POISON = [
    (422, {"detail": [{"loc": ["body", "size"], "msg": "not a valid size", "type": "value_error", "input": "{said}"}]}),
    (
        400,
        {
            "error": {
                "message": "Invalid value for size, prompt was: {said}",
                "type": "invalid_request_error",
                "code": None,
            }
        },
    ),
    (403, {"error": {"message": "The request '{said}' is not served", "type": "forbidden", "code": "blocked"}}),
    (400, {"message": "cannot parse: {said}"}),
]


@pytest.mark.parametrize(("status", "body"), POISON)
@pytest.mark.parametrize(
    "said",
    ["a bank with insufficient funds", "this account is\n suspended", "the model is no longer there", "no longer"],
)
def test_what_a_caller_says_is_no_judgement_on_a_key(status: int, body: dict[str, Any], said: str) -> None:
    raw = orjson.dumps(body).replace(b"{said}", orjson.dumps(said)[1:-1])
    secrets = discretion.secrets(Access(KEY, "https://relay.example/v1", prompt=said))
    harmless = verdict(Answer(status, {}, orjson.dumps(body).replace(b"{said}", b"a fox")), secrets)
    for rules in (RULES, RELAYED):
        assert verdict(Answer(status, {}, raw), secrets, rules=rules).fault is harmless.fault
    assert " ".join(said.split()) not in verdict(Answer(status, {}, raw), secrets).detail or len(said) < 10


def test_what_an_upstream_names_counts_before_what_it_tells() -> None:
    body = error("invalid_api_key", "Your account has insufficient funds, or a key that is not known.")
    assert told(403, body).fault is Fault.AUTH_DEAD


REQUESTS: list[tuple[str, int, dict[str, Any]]] = [
    ("openai", 400, error("invalid_image", "The mask region is empty.")),
    ("openai", 400, error("invalid_mask_region", "The mask does not fit.")),
    ("openai", 400, error(None, "Request was terminated: image could not be decoded")),
    ("openai", 400, error(None, "Invalid negative_prompt: 'insufficient funds'")),
    ("openai", 400, error(None, "negative_prompt must not say: a country without territory, suspended")),
    ("openai", 400, error(None, "Your account has insufficient funds", param="negative_prompt")),
    ("openai", 400, error("invalid_api_key", "an API key that has been leaked", param="prompt")),
    ("openai", 400, error(None, "The model could not read the image: it was not found", param="image")),
    ("openai", 400, error(None, "The model could not read the image: it was not found")),
    ("openai", 422, {"detail": "insufficient funds is not a style"}),
    ("fal", 422, {"detail": [{"loc": ["body"], "msg": "'insufficient funds' is too short", "type": "value_error"}]}),
    ("replicate", 422, {"title": "Input validation failed", "detail": "payment required is not one of the styles"}),
    ("stability", 400, {"name": "bad_request", "errors": ["negative_prompt: not enough balance of colours"]}),
    ("gemini", 400, {"error": {"status": "INVALID_ARGUMENT", "message": "The region of the country is not a size"}}),
]
"""Answers about what somebody asked for."""


def of(painter: str, status: int, body: dict[str, Any], access: Access) -> UpstreamError:
    return answered(painter, Answer(status, {}, orjson.dumps(body)), access)


def answered(painter: str, answer: Answer, access: Access) -> UpstreamError:
    match painter:
        case "fal":
            return fal_answers.judged(answer, access)
        case "replicate":
            return replicate.refusal(answer, access)
        case "stability":
            return stability.refusal(answer, access)
        case "gemini":
            return gemini_answers.refusal(answer, access)
        case "a1111":
            return a1111.refusal(answer, replace(access, secret="none"))
        case _:
            return verdict(answer, discretion.secrets(access), rules=RELAYED, caller=discretion.caller(access))


@pytest.mark.parametrize(("painter", "status", "body"), REQUESTS)
def test_a_bad_request_takes_no_key_out(painter: str, status: int, body: dict[str, Any]) -> None:
    assert of(painter, status, body, Access(KEY, "https://relay.example/v1")).fault is Fault.INVALID_REQUEST


@pytest.mark.parametrize(("painter", "body", "fault"), [
    ("openai", error(None, "Insufficient credits"), Fault.BALANCE_EXHAUSTED),
    ("openai", error("bad_response", "Insufficient balance, please top up", "one_api_error"), Fault.BALANCE_EXHAUSTED),
    ("openai", error(None, "Your account does not have enough credits."), Fault.BALANCE_EXHAUSTED),
    ("openai", error(None, "Incorrect API key provided"), Fault.AUTH_DEAD),
    ("openai", error(None, "Your account has been suspended."), Fault.AUTH_DEAD),
    ("openai", error(None, "Country, region, or territory not supported"), Fault.REGION_BLOCKED),
    ("openai", error(None, "User location is not supported for the API use."), Fault.REGION_BLOCKED),
    ("openai", error(None, "The model `dall-e-3` does not exist", param="model"), Fault.MODEL_UNAVAILABLE),
    ("stability", {"name": "payment_required", "errors": ["You lack credits"]}, Fault.BALANCE_EXHAUSTED),
])  # fmt: skip
def test_whole_phrases_that_are_known_still_tell_of_a_key(painter: str, body: dict[str, Any], fault: Fault) -> None:
    assert of(painter, 400, body, Access(KEY, "https://relay.example/v1")).fault is fault


@pytest.mark.parametrize("said", ["your account has been suspended", "invalid api key"])
def test_a_callers_other_texts_are_no_judgement_either(said: str) -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="a fox", texts=("high", said))
    for status in (400, 403):
        caught = of("openai", status, error(None, f"negative_prompt was: {said}; quality was high"), access)
        assert caught.fault is of("openai", status, error(None, "negative_prompt was: x"), access).fault
        assert said not in caught.detail
        assert "quality was high" in caught.detail, "a choice is no text"


CODES = [
    "insufficient_quota", "insufficient_credits", "insufficient_balance", "余额不足", "额度不足", "invalid_api_key",
    "account_deactivated", "unsupported_country", "model_not_found", "billing_hard_limit", "no_media_generated",
    "internal_error", "runner_1", "exhausted balance", "request was throttled", "model x was not found",
    "your account has insufficient credits", "your account was suspended", "location is not supported",
]  # fmt: skip
"""What an upstream calls it when a key is to blame; and what anybody can write."""
PAINTERS = ["openai", "fal", "replicate", "stability", "gemini", "a1111"]


def enveloped(painter: str, message: str) -> dict[str, Any]:
    """A message about a request, in each painter's own envelope."""
    match painter:
        case "fal":
            return {"detail": [{"loc": ["body", "negative_prompt"], "msg": message, "type": "value_error"}]}
        case "replicate":
            return {"title": "Input validation failed", "detail": message}
        case "stability":
            return {"name": "bad_request", "errors": [message]}
        case "gemini":
            return {"error": {"status": "INVALID_ARGUMENT", "message": message}}
        case "a1111":
            return {"error": "HTTPException", "detail": message}
        case _:
            return error(None, message)


PAGES = [
    b"<html><h1>Sorry, you have been blocked</h1></html>",
    b"<!DOCTYPE HTML>\n<title>403 Forbidden</title><p>You don't have permission to access this resource.</p>",
    b"\n<HTML><TITLE>Access Denied</TITLE>You don't have permission to access this server: token 18.2f, key 7</HTML>",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    b"<h1>Account Suspended</h1>",
]


@pytest.mark.parametrize("page", PAGES, ids=range(len(PAGES)))
@pytest.mark.parametrize("painter", PAINTERS)
def test_a_firewalls_page_says_nothing_of_a_key(painter: str, page: bytes) -> None:
    caught = answered(painter, Answer(403, {}, page), Access("limner:" + KEY, "https://painter.example"))
    assert (caught.fault, caught.is_vague) == (Fault.MODEL_UNAVAILABLE, True)


@pytest.mark.parametrize(("painter", "body"), [
    ("openai", orjson.dumps(error("invalid_api_key", "no"))),
    ("openai", b"this API key was leaked"),
    ("fal", b'{"detail": "Cannot access application: no permission"}'),
    ("fal", b'["this key has no such scope"]'),
    ("replicate", b'{"detail": "This token is disabled"}'),
    ("stability", b'{"name": "permission_denied"}'),
    ("gemini", b'{"error": {"code": 403, "message": "denied"}}'),
    ("a1111", b'{"detail": "Forbidden"}'),
])  # fmt: skip
def test_an_upstreams_own_word_of_a_key_at_a_403_is_believed(painter: str, body: bytes) -> None:
    caught = answered(painter, Answer(403, {}, body), Access(KEY, "https://painter.example"))
    assert (caught.fault, caught.is_vague) == (Fault.AUTH_DEAD, False)


@pytest.mark.parametrize("said", CODES)
def test_a_word_that_a_caller_chose_takes_no_key_out(said: str) -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="a fox", texts=(said,))
    for painter, status in itertools.product(PAINTERS, (400, 422)):
        body = enveloped(painter, f"unsupported negative_prompt: {said}")
        assert of(painter, status, body, access).fault is Fault.INVALID_REQUEST, painter


@pytest.mark.parametrize("said", CODES)
def test_nor_does_a_prompt_that_is_quoted_in_pythons_way_or_cut_short(said: str) -> None:
    prompt = f"{said} painted on the \"wall\" of a 'bank', at night and in the rain, by a very old master of the art"
    access = Access(KEY, "https://relay.example/v1", prompt=prompt)
    short = f"1 validation error for Request: input_value='{prompt[:30]}...{prompt[-20:]}', input_type=str"
    long = f"1 validation error for Request: input_value={prompt!r}, input_type=str"
    ended = f"Invalid prompt: {prompt[:60]}…"
    for painter, message, status in itertools.product(PAINTERS, (short, long, ended), (400, 422)):
        assert of(painter, status, enveloped(painter, message), access).fault is Fault.INVALID_REQUEST, painter


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("said", CODES)
def test_nor_at_a_status_that_may_be_about_a_key(status: int, said: str) -> None:
    prompt = f"{said} painted on the \"wall\" of a 'bank', at night and in the rain"
    access = Access(KEY, "https://relay.example/v1", prompt=prompt)
    usual = of("openai", status, error(None, "cannot serve: a fox"), access).fault
    for quoted in (f"{prompt[:40]}...{prompt[-15:]}", repr(prompt), prompt[:50] + "…"):
        assert of("openai", status, error(None, f"cannot serve: {quoted}"), access).fault is usual
    alone = replace(access, texts=(said,))
    assert of("openai", status, error(None, f"cannot serve: {said}"), alone).fault is usual


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("said", CODES)
def test_nor_does_a_prompt_that_is_cut_without_a_mark(status: int, said: str) -> None:
    prompt = f"the old wall of a bank, with {said} painted on it in the rain, by a very old master of the art"
    access = Access(KEY, "https://relay.example/v1", prompt=prompt)
    at, end = prompt.index(said), prompt.index(said) + len(said)
    for quoted in (
        prompt[: end + 4],
        prompt[:end],
        prompt[at - 5 :],
        prompt[at:],
        prompt[at - 9 : end + 9],
        prompt.upper(),
    ):
        for painter, told in itertools.product(PAINTERS, ("cannot serve: {}", "cannot serve '{}', sorry")):
            usual = of(painter, status, enveloped(painter, told.format("a fox")), access).fault
            caught = of(painter, status, enveloped(painter, told.format(quoted)), access)
            assert caught.fault is usual, (painter, quoted)
            assert said not in caught.detail.lower(), (painter, quoted)


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize("said", CODES[:8])
def test_nor_does_a_long_prompt_of_which_only_the_beginning_is_judged(status: int, said: str) -> None:
    prompt = f"{said} " + " ".join(f"{number} birds over house {number * 7}" for number in range(1200))
    prompt = f"{prompt[: 31_000 - len(said)]} {said}"
    assert 30_000 < len(prompt) <= 32_000
    access = Access(KEY, "https://relay.example/v1", prompt=prompt)
    usual = of("openai", status, error(None, "cannot process: a fox"), access).fault
    for body in (
        error(None, f"cannot process: {prompt}"),
        error(None, f"cannot process: {prompt}, so there was no picture"),
        error(None, "cannot process", metadata={"raw": prompt, "reasons": [prompt]}),
        {"error": {"msg": f"cannot process: {prompt}"}},
    ):
        caught = of("openai", status, body, access)
        assert caught.fault is usual
        assert "birds" not in caught.detail
    page = f"<html>cannot process: {prompt}</html>".encode()
    assert verdict(Answer(status, {}, page), discretion.secrets(access)).fault is usual


def test_what_an_upstream_says_behind_a_long_quotation_is_heard() -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="a fox in the rain, " * 1500)
    caught = of("openai", 500, error(None, f"cannot process: {access.prompt}: insufficient balance"), access)
    assert caught.fault is Fault.BALANCE_EXHAUSTED


@pytest.mark.parametrize("said", CODES)
def test_nor_do_the_logs_of_a_prediction_that_quote_it(said: str) -> None:
    prompt = f"{said} painted on the wall of a bank, " + "at night and in the rain, " * 20
    access = Access(KEY, "https://replicate.example/v1", prompt=prompt)
    faults = set[Fault]()
    for logs in (f"step 1\nusing prompt: {prompt}\nfailed", f"failed: {prompt}", f"failed: {prompt[:70]}", "failed"):
        with pytest.raises(UpstreamError) as caught:
            replicate._address({"status": "failed", "logs": logs}, access)
        faults.add(caught.value.fault)
        assert "in the rain" not in caught.value.detail
    assert faults == {Fault.UPSTREAM_5XX}


@pytest.mark.parametrize(
    ("said", "quoted"), [("在雨夜里，画面上写着余额不足四个大字的墙", slice(4, 14)), ("狐狸余额不足", slice(0, 6))]
)
def test_nor_do_signs_that_are_cut_without_a_mark(said: str, quoted: slice) -> None:
    access = Access(KEY, "https://relay.example/v1", prompt=said)
    for status in (403, 500):
        usual = of("openai", status, error(None, "不能画：狐狸"), access).fault
        assert of("openai", status, error(None, f"不能画：{said[quoted]}。"), access).fault is usual


@pytest.mark.parametrize(("prompt", "least"), [
    ("A fox and a hare at the well, 'İnsufficient_Quota' above them, as old masters saw it", discretion.RUN),
    ("在雨夜里，画面上写着余额不足四个大字的墙", discretion.RUN_SIGNS),
])  # fmt: skip
def test_every_part_that_is_long_enough_is_cut_out_wherever_it_was_cut(prompt: str, least: int) -> None:
    for begin, end in itertools.combinations(range(len(prompt) + 1), 2):
        part = " ".join(prompt[begin:end].split())
        if len(part) >= least and part[0] not in "，":
            assert set(discretion.without(f"<{part}>", [prompt])) == set("<*>"), part


def test_what_an_upstream_says_in_everyday_words_of_its_own_is_kept() -> None:
    access = Access(
        KEY, "https://relay.example/v1", prompt="a letter to your account manager, with no funds in the bank"
    )
    for status, told, fault in (
        (400, "Your account has been suspended.", Fault.AUTH_DEAD),
        (403, "This API key was leaked.", Fault.AUTH_DEAD),
        (500, "insufficient funds", Fault.BALANCE_EXHAUSTED),
        (403, "Not available in your country", Fault.REGION_BLOCKED),
    ):
        caught = of("openai", status, error(None, told), access)
        assert caught.fault is fault
        assert caught.detail.endswith(told)


@pytest.mark.parametrize(("code", "fault"), [
    ("insufficient_quota", Fault.BALANCE_EXHAUSTED), ("insufficient_balance", Fault.BALANCE_EXHAUSTED),
    ("billing_hard_limit_reached", Fault.BALANCE_EXHAUSTED), ("invalid_api_key", Fault.AUTH_DEAD),
    ("unsupported_country_region_territory", Fault.REGION_BLOCKED), ("model_not_found", Fault.MODEL_UNAVAILABLE),
])  # fmt: skip
def test_the_code_of_an_upstream_still_tells_of_a_key(code: str, fault: Fault) -> None:
    assert of("openai", 400, error(code, "no"), Access(KEY, "https://relay.example/v1")).fault is fault


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("painter", PAINTERS)
def test_a_caller_does_not_say_how_long_a_key_rests(painter: str, status: int) -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="a clock that says: try again in 24h, or retry in 24h")
    usual = of(painter, status, enveloped(painter, "cannot paint: a fox"), access).after
    quoted = of(painter, status, enveloped(painter, f"cannot paint: {access.prompt}"), access).after
    assert quoted == usual


@pytest.mark.parametrize("painter", PAINTERS)
def test_nor_by_a_few_words_that_are_quoted(painter: str) -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="A clock that says Retry in 24hours, painted daily")
    usual = of(painter, 429, enveloped(painter, "cannot paint: a fox"), access)
    for quoted in ("rejected near 'retry in 24h'", "rejected near 'retry in 24', 'daily'", "no such word: 'ed daily'"):
        caught = of(painter, 429, enveloped(painter, quoted), access)
        assert (caught.fault, caught.after) == (usual.fault, usual.after), quoted
    own = of("openai", 429, error(None, "not 'retry in 24h': please retry in 7s"), access)
    assert (own.fault, own.after) == (Fault.RATE_LIMITED, 7.0)
    assert of("openai", 429, error(None, "your daily limit per day"), access).fault is Fault.DAILY_QUOTA


SAID_OF_A_WORD = [
    ("openai", "a leaked pipe in an old house", error(None, "Request rejected: banned word 'leaked'")),
    ("openai", "A Suspended bridge in the fog", error(None, "the word suspended is not wanted here")),
    ("openai", "a house in the countryside", error(None, "banned word: countryside")),
    ("openai", "the letters IP on a wall", error(None, "the word 'ip' is not allowed")),
    ("openai", "墙上写着余额不足", error(None, "禁止的词：余额不足")),
    ("gemini", "a country road", {"error": {"message": "no such word: country", "status": "PERMISSION_DENIED"}}),
    ("stability", "a country road", {"name": "rejected", "errors": ["no such word: country"]}),
    ("fal", "an old key on a hook", {"detail": "banned word: key"}),
    ("replicate", "a disabled robot", {"detail": "banned word: disabled"}),
    ("fal", "a red keyboard", {"detail": "'a red keyb' is refused"}),
    ("openai", "a pipe, suspendedly drawn", error(None, "rejected near 'e, suspended'")),
]
"""What each says of one short word at a 403."""


@pytest.mark.parametrize(("painter", "prompt", "body"), SAID_OF_A_WORD)
def test_one_short_word_of_a_caller_takes_no_key_out(painter: str, prompt: str, body: dict[str, Any]) -> None:
    quoted = of(painter, 403, body, Access(KEY, "https://painter.example/v1", prompt=prompt))
    assert (quoted.fault, quoted.is_vague) == (Fault.MODEL_UNAVAILABLE, True)
    other = of(painter, 403, body, Access(KEY, "https://painter.example/v1", prompt="a fox"))
    assert (other.fault in OF_KEYS, other.is_vague) == (True, False), "it is believed when no caller has said it"


@pytest.mark.parametrize(("status", "message", "fault"), [
    (403, "Your API key was leaked", Fault.AUTH_DEAD),
    (403, "Country, region, or territory not supported", Fault.REGION_BLOCKED),
    (403, "Your account: key_suspended", Fault.AUTH_DEAD),
    (401, "leaked", Fault.AUTH_DEAD),
    (402, "余额不足", Fault.BALANCE_EXHAUSTED),
])  # fmt: skip
def test_what_an_upstream_says_beside_a_callers_word_is_believed(status: int, message: str, fault: Fault) -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="a leaked pipe on suspended rails of a country, 余额不足")
    assert of("openai", status, error(None, message), access).fault is fault


def test_a_callers_signs_end_no_account_at_any_status() -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="墙上写着余额不足")
    for status in (200, 403, 404, 429, 500):
        usual = of("openai", status, error(None, "禁止的词"), access).fault
        assert of("openai", status, error(None, "禁止的词：余额不足"), access).fault is usual, status


@pytest.mark.parametrize("way", [
    {"settings": {"extra_headers": {"Accept-Language": "en", "X-Tier": "current"}}},
    {"proxy": "http://user:ur@proxy.example:8080"},
    {"proxy": "http://quota:%75%72@proxy.example:8080"},
])  # fmt: skip
def test_what_is_too_short_for_a_secret_blots_out_no_words(way: dict[str, Any]) -> None:
    access = Access(KEY, "https://relay.example/v1", **way)
    caught = of("openai", 429, error(None, "You exceeded your current quota"), access)
    assert caught.fault is Fault.BALANCE_EXHAUSTED
    assert caught.detail.endswith("You exceeded your current quota")


def test_a_short_password_of_a_node_blots_out_no_words() -> None:
    told = a1111.refusal(
        Answer(500, {}, b'{"detail": "checkpoint fox not found"}'), Access("limner:fox", "http://node")
    )
    assert (told.fault, told.detail) == (Fault.MODEL_UNAVAILABLE, "HTTP 500 checkpoint fox not found")


def test_what_is_long_enough_is_a_secret() -> None:
    way = {"proxy": "http://user:pa%21s@proxy.example:8080", "settings": {"extra_headers": {"X-Account": "acct-991"}}}
    access = Access(KEY, "https://relay.example/v1", **way)
    detail = of("openai", 500, error(None, f"of acct-991 by pa%21s, pa!s and {KEY} in a node"), access).detail
    assert detail.endswith("of *** by ***, *** and *** in a node")


def test_marks_of_omission_take_no_letters_of_an_upstreams_own_words() -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="a tall fox, said to be so very sad")
    told = "you exceeded your current quota... add credits"
    assert of("openai", 429, error(None, told), access).detail.endswith(told)
    for text, kept in (
        ("cannot paint 'a...'", "cannot paint '...'"),
        ("cannot paint 'a tall...sad', sorry", "cannot paint '...', sorry"),
        ("cannot paint 'a t…ad' sorry", "cannot paint '...' sorry"),
        ("I cannot paint a…d", "I cannot paint ..."),
    ):
        assert discretion.without(text, [access.prompt]) == kept
    assert discretion.without("不能画余…足", ["余额不足"]) == "不能画..."


@pytest.mark.parametrize("hide", [
    "".join, lambda words: "\u200b".join(words), lambda words: "\u200d\ufe0f".join(words),
    lambda words: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in words),
], ids=["as it is", "without width", "joined", "full width"])  # fmt: skip
@pytest.mark.parametrize("said", ["insufficient funds", "daily: retry in 24h", "this api key was leaked"])
def test_what_an_upstream_quotes_in_another_form_than_it_was_sent_is_the_callers(said: str, hide: Any) -> None:
    for prompt in (f"a wall in the rain with {hide(said)} on it", hide(said)):
        access = Access(KEY, "https://relay.example/v1", prompt=prompt)
        for status, quoted in itertools.product((403, 429, 500), (said, prompt, f"near '{said[-9:]}'")):
            usual = of("openai", status, error(None, "cannot paint: a fox"), access)
            caught = of("openai", status, error(None, f"cannot paint: {quoted}"), access)
            assert (caught.fault, caught.after, caught.is_vague) == (usual.fault, usual.after, usual.is_vague)


def test_signs_without_a_width_make_no_short_word_a_long_one() -> None:
    access = Access(KEY, "https://relay.example/v1", prompt="u" + "\u200b" * 20, texts=("current\u2060",))
    told = "You exceeded your current quota"
    assert of("openai", 429, error(None, told), access).detail.endswith(told)
