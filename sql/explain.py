"""Explain: for each decision about a picture, which key was taken, and why every other one was passed over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from limner.runtime.database import Db

WORDS = {
    "tried": "tried already by this request",
    "disabled": "disabled",
    "manual_review": "waits for somebody to look at it",
    "out_of_funds": "its account has no money",
    "rests": "rests",
    "on_trial": "on trial: another picture is to show whether it is well again",
    "rests_for_model": "rests from this model",
    "on_trial_for_model": "on trial for this model, with another picture",
    "group_rests": "its account group rests from this model",
    "group_on_trial": "its account group is on trial for this model, with another picture",
    "proxy_disabled": "its proxy is disabled",
    "proxy_rests": "its proxy is down",
    "proxy_on_trial": "its proxy is on trial, with another picture",
    "region_blocked": "not welcome where its proxy comes out",
    "region_on_trial": "on trial where its proxy comes out",
    "no_slot": "all its slots were in use",
    "rpm": "has begun as many in this minute as it may",
    "later": "free, but used more lately for its weight",
}
TRIALS = {
    "key": "on trial: this picture was to show whether it is well again",
    "model": "on trial for this model",
    "group": "its account group was on trial for this model",
}

JOBS = "select id, position, state, waits_until from job where generation_id = $1 order by position"
ATTEMPTS = """
select a.job_id, a.number, a.started_at, a.finished_at, a.fault, a.detail, a.considered, x.label as proxy,
    a.cost_micros, a.possible_micros
from attempt as a join job as j on j.id = a.job_id left join proxy as x on x.id = a.proxy_id
where j.generation_id = $1 order by a.job_id, a.number
"""
WAITS = """
select d.job_id, d.decided_at, d.times, d.considered from decision as d join job as j on j.id = d.job_id
where j.generation_id = $1
"""
KEYS = "select id, label, last_four from provider_key where id = any($1::bigint[])"


async def generation(db: Db, generation_id: UUID) -> dict[str, Any]:
    """All of it, fit for JSON: {"generation", "jobs": [{"decisions": [{"chosen", "passed_over", …}], "waited", …}]}."""
    attempts = await db.fetch(ATTEMPTS, generation_id)
    waits = {row["job_id"]: row for row in await db.fetch(WAITS, generation_id)}
    names = await _names(db, [row["considered"] for row in [*attempts, *waits.values()] if row["considered"]])
    jobs = []
    for job in await db.fetch(JOBS, generation_id):
        own = [_decision(row, names) for row in attempts if row["job_id"] == job["id"]]
        jobs.append(
            {
                "job": str(job["id"]),
                "position": job["position"],
                "state": job["state"],
                "waits_until": _time(job["waits_until"]),
                "decisions": own,
                "waited": _wait(waits[job["id"]], names) if job["id"] in waits else None,
            }
        )
    return {"generation": str(generation_id), "jobs": jobs}


async def _names(db: Db, considered: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    ids = {entry[0] for each in considered for entry in [*each["passed"], each["chosen"]] if entry}
    found = {row["id"]: {"id": row["id"], "label": row["label"], "last_four": row["last_four"]}
             for row in await db.fetch(KEYS, list(ids))}  # fmt: skip
    return {key: found.get(key, {"id": key, "label": "", "last_four": ""}) for key in ids}


def _decision(row: Any, names: dict[int, dict[str, Any]]) -> dict[str, Any]:
    considered = row["considered"] or {"chosen": None, "of": None, "passed": []}
    return {
        "attempt": row["number"],
        "at": _time(row["started_at"]),
        "chosen": _chosen(considered["chosen"], names),
        "proxy": row["proxy"],
        "of": considered["of"],
        "passed_over": _passed(considered, names),
        "outcome": (row["fault"] or "painted") if row["finished_at"] else "under way",
        "detail": row["detail"],
        "cost_micros": row["cost_micros"],
        "possible_micros": row["possible_micros"],
    }


def _chosen(entry: list[Any] | None, names: dict[int, dict[str, Any]]) -> dict[str, Any] | None:
    if entry is None:
        return None
    key, idle, weight, trial = entry
    rested = "never used before" if idle is None else f"idle for {idle} s"
    words = TRIALS.get(trial, f"free, and first by weight: {rested}, weight {weight}")
    return {**names[key], "why": words}


def _wait(row: Any, names: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "at": _time(row["decided_at"]),
        "times": row["times"],
        "of": row["considered"]["of"],
        "passed_over": _passed(row["considered"], names),
    }


def _passed(considered: dict[str, Any], names: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            **names[key],
            "verdict": verdict,
            "why": WORDS.get(verdict, verdict),
            "until": None if until is None else _time(datetime.fromtimestamp(until, UTC)),
        }
        for key, verdict, until in considered["passed"]
    ]


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
