"""Who runs each command of the documentation. A new block belongs here, or tests/docs/test_accounts.py fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch

from tests.docs.pages import Block


@dataclass(frozen=True)
class Run:
    """tests/docs/test_run.py runs it on a stage, with ``swaps`` for what is another on each studio."""

    ends: tuple[int, ...] = (0,)
    """The exit codes that are right."""
    swaps: dict[str, str] = field(default_factory=dict)
    fed: str = ""
    """What somebody types meanwhile."""


@dataclass(frozen=True)
class By:
    """Another test, or CI, runs it: FILE::NAME or FILE, in which all of ``words`` stand."""

    test: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Needs:
    """Nothing here can run it, because of this. Every command of ours in it is known, with its options, to
    tests/deploy/test_pages.py."""

    what: str


Account = Run | By | Needs

ENGINE = Needs("a container engine: `make containers` builds the images and brings the stack up")
REGISTRY = Needs("a container engine and a registry")
UPGRADE = Needs(
    "a container engine and two releases: tests/ship/test_upgrade_compose.py with a pretended one, test_upgrade.py with processes"
)
CLUSTER = Needs("a Kubernetes cluster; tests/deploy/test_kubernetes.py checks the manifests")
SWARM = Needs("a Swarm; tests/deploy/test_swarm.py checks the stack")
ELSEWHERE = Needs("another machine")
LONG = Needs("many minutes of a quiet machine")
LOOKS = Run(ends=(0, 1, 2))
"""What ends as the studio is: this one has no engine, and stands on one machine."""
ROTATED = Run(ends=(0, 1))
"""1: something has to be restarted now."""
REFUND = By(
    "tests/payments/test_pages.py::test_the_command_line_lists_shows_marks_and_gives_back",
    ("refund", "--reason", "--yes"),
)
CI = By(".ci/run", ("make demo",))
IMAGES = By("tests/containers/run", ("--target ops", "--target allinone"))
RESTIC = By(
    "tests/ship/test_restic.py::test_all_of_it_comes_back_from_afar", ("back-up-and-restore.md", "RESTIC_REPOSITORY")
)
API = By("tests/api/test_the_page.py::test_it_works_as_printed", ("use-the-api.md",))
MAIL = By("tests/mail/test_desk.py", ("--template", "--state", '"link"'))
TRANSCRIPT = "docs/explanation/containers-seen.md"
"""What `make containers` printed: nobody is to run it again from there."""
SAID = "docs/reference/bot.md"
"""What the bot says, held against it by tests/bot/test_transcript.py."""

ACCOUNTS: dict[str, list[tuple[str, Account]]] = {
    "README.md": [
        ("make demo", CI),
        ("limner key add", Run()),
    ],
    "docs/tutorial/first-picture.md": [("git clone", CI)],
    "docs/how-to/paint-with-openai.md": [("limner key add", Run(swaps={"key.txt": "second-key.txt"}))],
    "docs/how-to/manage-the-key-pool.md": [
        ("limner key add", Run(swaps={"key.txt": "key-of-main.txt", "set 7": "set 1"})),
        # What asks somebody outside is left to tests/pool: whether a proxy answers, what a provider lists.
        ("limner proxy add", Run(swaps={"proxy test 1": "proxy list", "set 7": "set 1"})),
        ("limner model list", Run(swaps={"model import openai": "model list", "some-new-model": "gpt-image-1.5",
                                         "old-model": "gpt-image-1-mini"})),
        ("limner fund top-up", Run()),
    ],
    "docs/how-to/codes-trials-and-referrals.md": [("limner code create SPRING", Run()), ("limner code create --gifts", Run())],
    "docs/how-to/paint-with-gemini.md": [("limner key add", Run(swaps={"key.txt": "second-key.txt"}))],
    "docs/how-to/paint-with-stability.md": [("limner key add", Run(swaps={"key.txt": "second-key.txt"}))],
    "docs/how-to/paint-with-a1111.md": [("echo none | limner key add", Run())],
    "docs/how-to/paint-with-fal.md": [("limner model add", Run())],
    "docs/how-to/paint-with-replicate.md": [("limner model add", Run())],
    "docs/how-to/paint-through-a-relay.md": [("limner provider add", Run()), ("limner model add", Run())],
    "docs/how-to/use-the-api.md": [
        (begins, API) for begins in ("limner token create", "curl", "import base64", "client", "client")
    ],
    "docs/how-to/take-payments-with-btcpay.md": [
        ("printf", Run()),
        ("limner invoice list", LOOKS),
        ("limner invoice refund", REFUND),
    ],
    "docs/how-to/take-payments-with-stripe.md": [
        ("printf", Run()),
        ("limner invoice list", LOOKS),
        ("limner invoice refund", REFUND),
    ],
    "docs/reference/faults.md": [("echo any-secret | limner key add", Run())],
    "docs/how-to/alerts/bot-deaf.md": [("docker ", LOOKS)],
    "docs/how-to/alerts/web-not-ready.md": [("docker ", Run(swaps={"8080": "THE PORT"}))],
    "docs/how-to/alerts/*.md": [("docker ", Run())],
    "docs/how-to/look-a-studio-over.md": [
        ("docker compose exec worker limner doctor", LOOKS),
        ("docker run", LOOKS),
        ("docker compose exec worker limner checklist", LOOKS),
        ("docker compose exec -T worker limner support-bundle", LOOKS),
    ],
    "docs/how-to/follow-a-request.md": [
        ("docker compose logs", Run()),
        ("select request_id", Run(swaps={"5b3e…": "THE GENERATION"})),
    ],
    "docs/how-to/pair-the-bot.md": [("limner pair", Run(swaps={"K7WQ2MRT": "THE CODE"}, fed="y\n"))],
    "docs/how-to/send-mail.md": [
        ("printf", ENGINE),
        ("docker compose exec worker limner mail test", MAIL),
        ("docker compose exec worker limner mail list", MAIL),
    ],
    "docs/how-to/rotate-secrets.md": [
        ("rotate() {", Run()),
        ("rotate vault", Run(ends=ROTATED.ends, swaps={"worker bot ": "worker bot archivist "})),
        ("rotate database", ROTATED),
        ("rotate bot", ROTATED),
    ],
    "docs/how-to/install-with-compose.md": [
        ("git clone", Needs("the address of a repository: tests/containers/upgrade takes the files of this one")),
        ("docker build", By("tests/deploy/test_install_page.py::installed", ("install-with-compose.md",))),
        ("docker compose up", ENGINE),
        ("docker run", By("tests/containers/ground.sh", ("--network host --read-only --tmpfs /tmp", "demo --url"))),
        ("docker compose exec web limner user promote", Run(swaps={"you@": "bob@"})),
        ("docker compose exec -T postgres pg_dump", UPGRADE),
        ("docker compose exec archivist limner backup", Run()),
        ("docker compose stop", Run()),
    ],
    "docs/how-to/back-up-and-restore.md": [
        ("limner backup", By("tests/ship/test_backup_page.py::test_its_commands_do_what_it_says", ("back-up-and-restore.md",))),
        ("export RESTIC_REPOSITORY", RESTIC),
        ("restic restore", RESTIC),
        ("limner restore", By("tests/ship/test_backup_page.py::test_its_commands_do_what_it_says", ("restore",))),
        ("alter role limner createdb", Run()),
        ("alter database", By("tests/ship/test_backup_page.py::test_its_way_to_undo_a_restore_leads_back", ("rename",))),
    ],
    "docs/how-to/move-to-compose.md": [
        ("limner export", By("tests/ship/test_export.py::export", ("export", "--to", "--pictures"))),
    ],
    "docs/how-to/put-it-behind-another-proxy.md": [("docker compose up", ENGINE), ("docker compose restart", ENGINE)],
    "docs/how-to/recover-to-a-moment.md": [
        ("alter role limner replication", Run()),
        ("limner pitr base", By("tests/ship/test_pitr.py::pitr", ('pitr(server, "base")', 'pitr(server, "check")'))),
        ("limner pitr restore", By("tests/ship/test_pitr.py::pitr", ('"restore", "--to", moment, "--into"',))),
        ("postgres -D", By("tests/ship/test_pitr.py::started", ('"postgres", "-D", folder, "-k"',))),
    ],
    "docs/how-to/upgrade-and-roll-back.md": [
        ("limner preflight", REGISTRY),
        ("limner upgrade", UPGRADE),
        ("limner releases", UPGRADE),
        ("docker compose stop", UPGRADE),
        ("limner bundle", By("tests/ship/test_bundle.py", ('"bundle"',))),
    ],
    "docs/how-to/watch-with-prometheus.md": [
        ("docker compose up", ENGINE),
        ("ssh", ELSEWHERE),
        ("docker compose kill", ENGINE),
    ],
    "docs/how-to/run-on-kubernetes.md": [
        ("docker build", REGISTRY), ("limner init", CLUSTER), *[("kubectl", CLUSTER)] * 5,
    ],
    "docs/how-to/run-on-swarm.md": [
        ("docker swarm", SWARM), ("limner init", SWARM), ("export APP_IMAGE", SWARM), *[("docker", SWARM)] * 3,
    ],
    "docs/how-to/schedule-a-message.md": [
        ("from", By("tests/runtime/test_schedule.py::test_the_page_about_it_works_as_printed", ("schedule-a-message.md",))),
    ],
    "docs/how-to/write-an-actor.md": [
        *[("", By("tests/runtime/test_standalone.py::blocks", ("write-an-actor.md",)))] * 3,
    ],
    "docs/reference/image.md": [("docker build", IMAGES), ("docker run", By("tests/containers/run", ("limner-allinone",)))],
    "docs/reference/settings.md": [("alter role limner set", Run())],
    "docs/reference/runtime-benchmark.md": [("pip install", LONG)],
    "docs/explanation/growing.md": [("python -m benchmarks.growing", LONG)],
    "docs/explanation/schema-window.md": [("update schema_window", Run(swaps={"= 12": "= 1"}))],
    "docs/explanation/upgrades.md": [
        ("FAULT_FULL=1 .venv/bin/pytest -s tests/ship/test_upgrade_under_load.py", LONG),
        ("python tests/ship/previous_release.py", By("tests/ship/test_previous_release.py", ("previous_release.run", "lay_out"))),
    ],
}  # fmt: skip


def account_of(block: Block, number: int) -> tuple[str, Account] | None:
    """The entry for the ``number``th block of its page."""
    for pattern, entries in ACCOUNTS.items():
        if fnmatch(block.page, pattern):
            return entries[number] if number < len(entries) else None
    return None
