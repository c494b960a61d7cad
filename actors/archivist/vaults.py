"""Which vault keys a backup needs, and whether these are they; told by fingerprints, never by the keys."""

from __future__ import annotations

from collections.abc import Iterable

from limner.actors.archivist.manifest import Keys
from limner.runtime.config import Config
from limner.runtime.errors import Refused
from limner.runtime.vault import SETTING, Vault


def describe(config: Config, sealed: Iterable[str]) -> Keys:
    """The keys of the settings, and the ids of those that ``sealed`` secrets need."""
    used = sorted({secret.split(".")[1] for secret in sealed if secret.count(".") >= 2})
    vault = Vault.from_config(config)
    return Keys(active=vault.active, used=used, fingerprints=vault.fingerprints)


def check(config: Config, keys: Keys) -> None:
    """Raises Refused when the settings have not the keys that the backup's secrets were sealed with."""
    here = Vault.from_config(config).fingerprints
    for kid in keys.used or [keys.active]:
        if kid not in here:
            raise Refused(f"{SETTING} lacks the key {kid!r} (fingerprint {keys.fingerprints.get(kid, 'unknown')}): "
                "the secrets in this backup could not be opened. Put it back, beside the others")  # fmt: skip
    for kid, fingerprint in keys.fingerprints.items():
        if here.get(kid, fingerprint) != fingerprint:
            raise Refused(f"{SETTING}: the key {kid!r} is another (fingerprint {here[kid]}) than this backup's "
                f"({fingerprint}): its secrets could not be opened. Set the key of then")  # fmt: skip
