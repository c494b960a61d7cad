"""Where pictures and backups are kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from limner.runtime.config.section import Section, WebAddress
from limner.runtime.cron import Calendar


class StoreSettings(Section):
    """Folders and buckets."""

    storage: Literal["folder", "s3"] = Field("folder", description="where pictures are kept")
    storage_folder: Path | None = Field(
        None, description="the folder for storage=folder; empty: pictures in the data folder"
    )
    s3_endpoint: WebAddress | None = Field(None, description="an S3 address, when it is not Amazon's")
    s3_bucket: str = Field("limner", description="the bucket for storage=s3")
    s3_region: str = Field("us-east-1", description="the region for storage=s3")
    s3_access_key: SecretStr | None = Field(None, description="the access key for storage=s3")
    s3_secret_key: SecretStr | None = Field(None, description="the secret key for storage=s3")

    backup_folder: Path | None = Field(
        None, description="where backups are kept, unless a bucket is named; empty: backups in the data folder"
    )
    backup_s3_bucket: str | None = Field(None, description="the bucket for backups, and for nothing else")
    backup_s3_endpoint: WebAddress | None = Field(None, description="its S3 address, when it is not Amazon's")
    backup_s3_region: str = Field("us-east-1", description="its region")
    backup_s3_access_key: SecretStr | None = Field(None, description="its access key; better not the pictures' own")
    backup_s3_secret_key: SecretStr | None = Field(None, description="its secret key")
    backup_keep: str = Field("7,4,6", description="of how many days, weeks and months the newest backup is kept")
    backup_at: str = Field("17 3 * * *", description="when the archivist makes a backup: a cron expression, in UTC")
    backup_drill_at: str = Field("17 4 * * sun", description="when it tries the newest one out: the same")
    backup_after: str | None = Field(
        None, description="a command for the shell after each backup, to carry a copy off this machine"
    )
    pitr_folder: Path | None = Field(
        None, description="where a recovery to a moment finds its bases and the log; empty: pitr in the data folder"
    )

    @field_validator("backup_keep")
    @classmethod
    def _three_counts(cls, value: str) -> str:
        if not re.fullmatch(r"\d{1,3},\d{1,3},\d{1,3}", value) or not any(map(int, value.split(","))):
            raise ValueError("must be three numbers such as 7,4,6: days, weeks, months")
        return value

    @field_validator("backup_at", "backup_drill_at")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        Calendar.parse(value)
        return value

    @property
    def pictures_folder(self) -> Path:
        return self.storage_folder or self.data_dir / "pictures"

    @property
    def backups_folder(self) -> Path:
        return self.backup_folder or self.data_dir / "backups"

    @property
    def pitr_base(self) -> Path:
        return self.pitr_folder or self.data_dir / "pitr"

    @property
    def backups_kept(self) -> tuple[int, int, int]:
        """Of how many days, weeks and months."""
        days, weeks, months = map(int, self.backup_keep.split(","))
        return days, weeks, months
