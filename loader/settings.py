"""Every environment variable, in one place.

Values come from the environment first, then from `.env` in the project's root.
"""

from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from loader.errors import UsageError

PROJECT_ROOT = Path(__file__).resolve().parents[1]


class Settings(BaseSettings):
    """What can be set from outside; the README's table is made from this class."""

    model_config = SettingsConfigDict(
        env_prefix="WAREHOUSE_",
        env_file=PROJECT_ROOT / ".env",
        extra="ignore",
        env_ignore_empty=True,
    )

    host: str | None = Field(None, description="A Postgres 17 or newer; unset: the embedded one")
    port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Its port; unset: 5432, or the embedded server's own choice",
    )
    user: str = Field("warehouse", description="The user to connect as")
    password: SecretStr = Field(
        SecretStr(""), description="Its password; the embedded server makes its own"
    )
    db: str = Field("warehouse", description="The database")
    home: Path = Field(
        PROJECT_ROOT / ".warehouse", description="Where the embedded server keeps its data"
    )
    profiles_dir: Path = Field(
        PROJECT_ROOT / "dbt_project",
        description="Where `loader init` writes dbt's profiles.yml",
    )
    statement_timeout_seconds: int = Field(
        3600, ge=0, description="Longest a statement of the loader may take; 0: no limit"
    )
    question_timeout_seconds: int = Field(
        30, ge=0, description="Longest a question may take; 0: no limit"
    )
    bad_rows_percent: float = Field(
        1.0,
        ge=0,
        le=100,
        description="A file with a larger share of bad rows (and over 20) is refused",
    )
    snapshots_kept: int = Field(
        3, ge=1, description="Snapshots of each kind kept in raw, the current one included"
    )


@cache
def get_settings() -> Settings:
    """The settings of this process, read once.

    Raises UsageError, naming the variable, when a value does not parse.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "WAREHOUSE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(f"{name}: {first['msg']}") from None
