"""Kubernetes: each overlay is rendered by kubectl, fits the schemas of the API, and everything it names is there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
import yaml

from limner.runtime.cli import commands as cli
from limner.runtime.config import Config, secret_fields, setting_name
from tests.deploy.conftest import ROOT, SCRIPTS, known_metrics

KUBECTL = SCRIPTS / "kubectl"
FOLDER = ROOT / "deploy/kubernetes"
OVERLAYS = ["managed", "cloudnativepg", "volume"]
OLDEST, NEWEST = "1.29", "1.37"
"""Of the releases of Kubernetes that are checked."""
FOREIGN = {"Cluster"}
"""Kinds that an operator brings along, of which Kubernetes has no schema."""
ROLES = ["web", "worker", "bot", "archivist"]
Object = dict[str, Any]

pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@lru_cache
def rendered(overlay: str) -> list[Object]:
    command = [KUBECTL, "kustomize", FOLDER / "overlays" / overlay]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=50, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize has a warning"
    return list(yaml.safe_load_all(done.stdout))


def of(overlay: str, kind: str) -> dict[str, Object]:
    return {it["metadata"]["name"]: it for it in rendered(overlay) if it["kind"] == kind}


def pods(overlay: str) -> dict[str, Object]:
    """The template of every pod, by the name of its Deployment or Job."""
    return {name: it["spec"]["template"] for kind in ("Deployment", "Job") for name, it in of(overlay, kind).items()}


def container(pod: Object) -> Object:
    assert len(pod["spec"]["containers"]) == 1
    only: Object = pod["spec"]["containers"][0]
    return only


@each_overlay
@pytest.mark.parametrize("release", [OLDEST, NEWEST])
def test_every_object_fits_the_schema_of_its_kind(overlay: str, release: str) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    checked = [it for it in rendered(overlay) if it["kind"] not in FOREIGN]
    for it in checked:
        validator.validate(it, release, strict=True)
    assert len(checked) >= 15


@each_overlay
def test_everything_lives_in_one_namespace_that_lets_nothing_privileged_in(overlay: str) -> None:
    (space,) = of(overlay, "Namespace").values()
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = {it["metadata"]["namespace"] for it in rendered(overlay) if it["kind"] != "Namespace"}
    assert others == {space["metadata"]["name"]}


@each_overlay
def test_every_pod_plays_a_role_of_ours_and_is_nobody(overlay: str) -> None:
    assert set(pods(overlay)) == {"migrate", *ROLES}
    for name, pod in pods(overlay).items():
        it, spec = container(pod), pod["spec"]
        assert it["args"] == [name]
        assert name in cli.main.commands
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert it["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
        }  # fmt: skip
        assert it["resources"]["limits"]["memory"]
        assert spec["automountServiceAccountToken"] is False
        # LIMNER_WEB_PORT and the like would come from the services' names, and stop the start as unknown settings.
        assert spec["enableServiceLinks"] is False


@each_overlay
def test_every_image_comes_from_a_registry_and_says_which(overlay: str) -> None:
    images = {name: container(pod)["image"] for name, pod in pods(overlay).items()}
    assert images.pop("archivist").startswith("registry.example.com/limner-ops:")
    (ours,) = set(images.values())
    assert re.fullmatch(r"registry\.example\.com/limner:[\d-]+", ours)


@each_overlay
def test_every_setting_is_one_and_every_secret_a_file_that_is_mounted(overlay: str) -> None:
    secret = {setting_name(name) for name in secret_fields()}
    plain = {setting_name(name) for name in Config.model_fields} - secret
    for name, pod in pods(overlay).items():
        environment = settings(overlay, pod)
        there = files(pod)
        for key, value in environment.items():
            if key.endswith("_FILE"):
                assert key.removesuffix("_FILE") in secret, (name, key)
                assert value in there, (name, value)
            else:
                assert key in plain | {"TMPDIR"}, (name, key)


@each_overlay
@pytest.mark.parametrize("role", ["migrate", *ROLES])
def test_every_role_accepts_its_settings(overlay: str, role: str, tmp_path: Any) -> None:
    """By its own word: `limner config` with the settings of its pod, the secrets in a folder."""
    made = {
        "database_url": "postgresql://limner:x@db/limner", "database_direct_url": "postgresql://limner:x@db:5433/limner",
        "secret_key": "s" * 48, "vault_keys": "k1:" + "A" * 43 + "=", "sandbox_secret": "s" * 40,
    }  # fmt: skip
    pod = pods(overlay)[role]
    for path in files(pod):
        (tmp_path / os.path.basename(path)).write_text(made.get(os.path.basename(path), "x" * 20))
    found = {key: value.replace("/run/secrets/limner", str(tmp_path)) for key, value in settings(overlay, pod).items()}
    env = {"PATH": os.environ["PATH"]} | found
    done = subprocess.run(
        [SCRIPTS / "limner", "config"], env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("LIMNER_STORAGE=folder\n" if overlay == "volume" else "LIMNER_STORAGE=s3\n") in done.stdout


@each_overlay
def test_every_volume_is_claimed_and_who_paints_may_write(overlay: str) -> None:
    claims = set(of(overlay, "PersistentVolumeClaim"))
    used = {
        (name, volume["persistentVolumeClaim"]["claimName"], volume["name"])
        for name, pod in pods(overlay).items()
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert {claim for _, claim, _ in used} == claims
    expected = {"archivist": {"backups"}}
    if overlay == "volume":
        expected = {"archivist": {"backups", "pictures"}, "web": {"pictures"}, "worker": {"pictures"}}
    for role in ROLES:
        assert {claim for name, claim, _ in used if name == role} == expected.get(role, set())
        for mount in container(pods(overlay)[role])["volumeMounts"]:
            if mount["name"] == "pictures":
                assert mount["mountPath"] == "/var/lib/limner/pictures"
                assert mount.get("readOnly", False) is (role == "archivist")


@each_overlay
def test_every_secret_that_is_mounted_is_one_that_the_page_makes_or_the_operator(overlay: str) -> None:
    page = (ROOT / "docs/how-to/run-on-kubernetes.md").read_text()
    named = {source["secret"]["name"] for pod in pods(overlay).values() for source in sources(pod)}
    by_the_operator = {f"{name}-app" for name in of(overlay, "Cluster")}
    for name in named - by_the_operator:
        assert f"create secret generic {name} " in page
    assert named & by_the_operator == by_the_operator


@each_overlay
def test_whatever_is_selected_is_there(overlay: str) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(overlay).items()}

    def chosen(selector: dict[str, str]) -> set[str]:
        return {name for name, has in labels.items() if selector.items() <= has.items()}

    for name, it in of(overlay, "Deployment").items():
        assert chosen(it["spec"]["selector"]["matchLabels"]) == {name}
    for name, it in of(overlay, "Service").items():
        assert chosen(it["spec"]["selector"]) == {name}
        ports = {port["name"] for port in container(pods(overlay)[name])["ports"]}
        assert {port["targetPort"] for port in it["spec"]["ports"]} <= ports
    for name, it in of(overlay, "PodDisruptionBudget").items():
        assert chosen(it["spec"]["selector"]["matchLabels"]) == {name}
    for it in of(overlay, "HorizontalPodAutoscaler").values():
        target = it["spec"]["scaleTargetRef"]
        deployment = of(overlay, target["kind"])[target["name"]]
        assert "replicas" not in deployment["spec"], "two would have the say"
    policies = of(overlay, "NetworkPolicy")
    assert chosen(policies["limner"]["spec"]["podSelector"]["matchLabels"]) == {"migrate", *ROLES}
    assert chosen(policies["web"]["spec"]["podSelector"]["matchLabels"]) == {"web"}


@each_overlay
def test_the_way_in_leads_to_web_and_belongs_to_the_public_address(overlay: str) -> None:
    (ingress,) = of(overlay, "Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    service = of(overlay, "Service")[backend["name"]]
    assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    assert settings(overlay, pods(overlay)["web"])["LIMNER_PUBLIC_URL"] == f"https://{rule['host']}"
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]


@each_overlay
def test_web_is_asked_by_http_and_the_others_are_alive_whether_the_database_is_or_not(overlay: str) -> None:
    web = container(pods(overlay)["web"])
    assert web["livenessProbe"]["httpGet"]["path"] == web["startupProbe"]["httpGet"]["path"] == "/health/live"
    assert web["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    for role in ROLES[1:]:
        it = container(pods(overlay)[role])
        assert it["livenessProbe"]["httpGet"] == {"path": "/metrics", "port": "metrics"}
        assert it["readinessProbe"]["exec"]["command"] == ["limner", "health", role]
    for role in ROLES:
        start = container(pods(overlay)[role])["startupProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] > 120, "it waits that long for the migration"


@each_overlay
def test_a_role_may_finish_what_it_drains(overlay: str) -> None:
    for role in ROLES:
        pod = pods(overlay)[role]
        pause = int(container(pod).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0])[-1])
        drain = int(settings(overlay, pod)["LIMNER_DRAIN"])
        assert pause + drain + 10 <= pod["spec"]["terminationGracePeriodSeconds"], role


@each_overlay
def test_only_one_bot_and_one_archivist_at_a_time(overlay: str) -> None:
    for role in ("bot", "archivist"):
        spec = of(overlay, "Deployment")[role]["spec"]
        assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@each_overlay
def test_workers_grow_with_a_figure_that_exists_and_reaches_the_autoscaler(overlay: str) -> None:
    metric = of(overlay, "HorizontalPodAutoscaler")["worker"]["spec"]["metrics"][0]["external"]["metric"]
    assert metric["name"] in known_metrics()
    adapter = yaml.safe_load((FOLDER / "prometheus/adapter.yml").read_text())["rules"]["external"]
    assert [rule["name"]["as"] for rule in adapter] == [metric["name"]]
    pairs = ",".join(f'{key}="{value}"' for key, value in metric["selector"]["matchLabels"].items())
    assert adapter[0]["seriesQuery"] == f"{metric['name']}{{{pairs}}}"


def test_prometheus_finds_the_port_by_the_name_that_the_pods_give_it() -> None:
    scrape = yaml.safe_load((FOLDER / "prometheus/scrape.yml").read_text())["scrape_configs"][0]
    compose = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["job_name"] == compose["job_name"] == "limner"
    kept = next(rule["regex"] for rule in scrape["relabel_configs"] if rule.get("action") == "keep")
    for role in ROLES:
        ports = {port["name"]: port["containerPort"] for port in container(pods("managed")[role])["ports"]}
        assert ports[kept] == int(settings("managed", pods("managed")[role])["LIMNER_METRICS_PORT"])


def settings(overlay: str, pod: Object) -> dict[str, str]:
    it = container(pod)
    shared = {key: str(value) for each in it["envFrom"] for key, value in _config_map(overlay, each).items()}
    return shared | {each["name"]: each["value"] for each in it.get("env", [])}


def _config_map(overlay: str, reference: Object) -> dict[str, str]:
    found: dict[str, str] = of(overlay, "ConfigMap")[reference["configMapRef"]["name"]]["data"]
    return found


def sources(pod: Object) -> Iterator[Object]:
    for volume in pod["spec"]["volumes"]:
        yield from volume.get("projected", {}).get("sources", [])


def files(pod: Object) -> set[str]:
    """The paths of all secrets; every volume is mounted, and every mount has a volume."""
    mounts = {mount["name"]: mount["mountPath"] for mount in container(pod)["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod["spec"]["volumes"]}
    return {f"{mounts['secrets']}/{item['path']}" for source in sources(pod) for item in source["secret"]["items"]}
