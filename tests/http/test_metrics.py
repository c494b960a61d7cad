"""What the site counts of its answers."""

from __future__ import annotations

from limner.runtime.metrics import REGISTRY


def answers(method: str, route: str, status: int) -> float:
    labels = {"method": method, "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("limner_http_answers_total", labels) or 0


async def test_answers_are_counted_by_their_route_and_never_by_their_path(stranger, alice, db):
    before = answers("GET", "/studio/{id}", 404)
    for name in ("4e0c9fd0-6a5e-4f6e-b6f1-0b4d1f0f4c11", "4e0c9fd0-6a5e-4f6e-b6f1-0b4d1f0f4c12"):
        assert (await alice.get(f"/studio/{name}")).status == 404
    assert answers("GET", "/studio/{id}", 404) == before + 2
    before = answers("GET", "none", 404)
    assert (await stranger.get("/no-such-page")).status == 404
    assert answers("GET", "none", 404) == before + 1
