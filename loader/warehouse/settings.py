"""Every environment variable, in one place.

Values come from the environment first, then from `.env` in the project's root (environment.py).
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from loader.warehouse import environment
from loader.warehouse.errors import UsageError
from loader.warehouse.setting_secrets import keep_secret
from loader.warehouse.setting_values import (
    Book,
    Channel,
    Database,
    Days,
    HostName,
    Key,
    Seconds,
    SecretUrl,
    SocketUrl,
    Timeout,
    Url,
    User,
    read_channels,
    split_books,
    wrong_value,
)

PROJECT_ROOT = Path(__file__).resolve().parents[2]


class Settings(BaseModel):
    """What can be set from outside; docs/reference/settings.md is made from this class."""

    model_config = ConfigDict(allow_inf_nan=False)

    host: HostName | None = Field(
        None, description="A Postgres 17 or newer, its database in UTF8; unset: the embedded one"
    )
    port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Its port; unset: 5432, or the embedded server's own choice",
    )
    user: User = Field("warehouse", description="The user to connect as")
    password: SecretStr = Field(
        SecretStr(""), description="Its password; the embedded server makes its own"
    )
    db: Database = Field("warehouse", description="The database")
    home: Path = Field(
        PROJECT_ROOT / ".warehouse", description="Where the embedded server keeps its data"
    )
    profiles_dir: Path = Field(
        PROJECT_ROOT / "dbt_project",
        description="Where `loader init` writes dbt's profiles.yml",
    )
    statement_timeout_seconds: Timeout = Field(
        3600, description="Longest a statement of the loader or of dbt may take; 0: no limit"
    )
    question_timeout_seconds: Timeout = Field(
        30, description="Longest a question may take; 0: no limit"
    )
    bad_rows_percent: float = Field(
        1.0,
        ge=0,
        le=100,
        description="A file with a larger share of bad rows (and over 20) is refused",
    )
    allow_null_words: bool = Field(
        False,
        description="Whether NULL, None, NaN, N/A and \\N are texts like any other in snapshot "
        "files; else a row with one as an id, a currency or a name is a bad row",
    )
    snapshots_kept: int = Field(
        3,
        ge=1,
        le=10_000,
        description="Snapshots of each kind kept in raw, the current one included",
    )
    books: Annotated[tuple[Book, ...], BeforeValidator(split_books)] = Field(
        ("btc_mxn", "usd_mxn"),
        description="The books to watch, as Bitso writes them, separated by commas",
    )
    bitso_url: Url = Field("https://api.bitso.com/v3", description="Where Bitso's REST API is")
    bitso_calls_per_minute: int = Field(
        50,
        ge=1,
        le=60,
        description="Calls to Bitso a minute, all processes of this host together",
    )
    bitso_stream_url: SocketUrl = Field(
        "wss://ws.bitso.com", description="Where Bitso's WebSocket is"
    )
    stream_depth: int = Field(
        10, ge=0, le=1000, description="Price levels a side that a sample of the stream holds"
    )
    stream_check_seconds: Seconds = Field(
        180.0, description="How often the stream's books are held against the ticker"
    )
    stream_spool_dir: Path = Field(
        PROJECT_ROOT / ".warehouse" / "spool",
        description="Where the stream keeps the seconds that are not in Postgres yet",
    )
    stream_spool_mib: int = Field(
        256,
        ge=1,
        le=1 << 20,
        description="The most that it keeps there, in MiB; later seconds become gaps",
    )
    inbox: Path | None = Field(
        None,
        description="Where `loader snapshots` without a name looks for files; "
        "unset: it must be told",
    )
    inbox_rest_seconds: float = Field(
        60.0,
        ge=0,
        le=604_800,
        description="How long a file in the inbox must have stood unchanged before it is taken",
    )
    lake: str | None = Field(
        None,
        description="Where `loader lake export` writes: a directory, or s3://bucket/path "
        "(with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY); unset: nowhere",
    )
    coingecko_plan: Literal["demo", "pro"] = Field(
        "demo", description="What CoinGecko's key is for; `demo` also without a key"
    )
    coingecko_url: Url | None = Field(
        None, description="Where CoinGecko's API is; unset: the host of the plan"
    )
    coingecko_key: Key = Field(SecretStr(""), description="CoinGecko's key, if there is one")
    coingecko_calls_per_minute: int = Field(
        30, ge=1, le=10_000, description="Calls to CoinGecko a minute; a key may allow more"
    )
    coincap_url: Url = Field("https://rest.coincap.io/v3", description="Where CoinCap's API is")
    coincap_key: Key = Field(
        SecretStr(""), description="CoinCap's key; without one its exchanges are left out"
    )
    http_timeout_seconds: Seconds = Field(
        10.0,
        description="Longest to wait for a connection and between two pieces of a reply; "
        "a whole request, redirects and all, may take three times that",
    )
    http_attempts: int = Field(
        4,
        ge=1,
        le=1000,
        description="Times a call is made before a passing error is taken for lasting",
    )
    max_wait_seconds: float = Field(
        120.0,
        ge=0,
        le=86_400,
        description="Longest to wait before one call, whatever a source asks for: "
        "beyond it the command ends with exit code 75",
    )
    alert_channels: Annotated[
        dict[Channel, tuple[SecretStr, ...]], BeforeValidator(read_channels)
    ] = Field(
        {},
        description="Where alerts go, as JSON: the channels that the thresholds name, each with "
        'one address or a list, as apprise writes them: {"default": ["jsons://host/path"]}',
    )
    alert_oldest_minutes: float = Field(
        60.0,
        gt=0,
        le=366 * 24 * 60,
        description="An alert that opened longer ago when it is first seen is not sent",
    )
    alert_retry_hours: float = Field(
        24.0,
        gt=0,
        le=366 * 24,
        description="How long a message that does not go through is tried again",
    )
    alert_timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=600,
        description="Longest that sending one message may take, however the receiver answers",
    )
    watchdog_url: SecretUrl = Field(
        SecretStr(""),
        description="`loader alerts --follow` tells it each minute that it watches, as long as it "
        "reads fresh data: who gets no more of it should look; unset: nobody is told",
    )
    ping_url: SecretUrl = Field(
        SecretStr(""),
        description="Scheduled jobs tell it of each run, as healthchecks.io has it: "
        "<it>/<job>/start, then <it>/<job> or <it>/<job>/fail; unset: nobody is told",
    )
    page_url: Url | None = Field(
        None,
        description="Where people find `dashboards serve`: messages of alerts link to it, and it "
        "answers to the host's name; unset: no links",
    )
    page_password: SecretStr = Field(
        SecretStr(""),
        description="The password that `dashboards serve` asks for, whatever the user's name; "
        "unset: none, and then it serves this machine alone",
    )
    login_loader_password: SecretStr = Field(
        SecretStr(""),
        description="`loader init` makes the login `loader`, which may what the loader may; "
        "unset: no such login",
    )
    login_transformer_password: SecretStr = Field(
        SecretStr(""), description="The same for `transformer`, dbt's login"
    )
    login_exporter_password: SecretStr = Field(
        SecretStr(""), description="The same for `exporter`, for `dashboards export`"
    )
    login_metabase_reader_password: SecretStr = Field(
        SecretStr(""), description="The same for WAREHOUSE_METABASE_READER_USER"
    )
    login_metabase_password: SecretStr = Field(
        SecretStr(""),
        description="The same for `metabase`, and a database of its own for what Metabase keeps",
    )
    metabase_url: Url = Field(
        "http://127.0.0.1:3000", description="Where `dashboards apply` finds Metabase"
    )
    metabase_email: str = Field(
        "admin@example.com", description="The account of Metabase's administrator, made if new"
    )
    metabase_password: SecretStr = Field(SecretStr(""), description="Its password")
    metabase_timeout_seconds: Seconds = Field(
        30.0, description="Longest to wait for one answer of Metabase"
    )
    metabase_wait_seconds: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="Longest to wait until Metabase is ready, and has seen the tables",
    )
    metabase_reader_host: str | None = Field(
        None, description="Where Metabase finds the warehouse; unset: WAREHOUSE_HOST"
    )
    metabase_reader_port: int | None = Field(
        None, ge=1, le=65535, description="Its port there; unset: WAREHOUSE_PORT"
    )
    metabase_reader_db: str | None = Field(
        None, description="The database there; unset: WAREHOUSE_DB"
    )
    metabase_reader_user: str = Field(
        "metabase_reader", description="The login that Metabase reads with"
    )
    metabase_reader_password: SecretStr = Field(SecretStr(""), description="Its password")
    metabase_close_sql: bool = Field(
        True,
        description="Keep people from writing SQL of their own in Metabase, but for administrators",
    )
    keep_days_bitso_tickers: Days = Field(
        90, description="Days of raw tickers that `loader prune` keeps; 0: all"
    )
    keep_days_bitso_order_books: Days = Field(
        30, description="Days of raw order books, the stream's samples included; 0: all"
    )
    keep_days_spread_observations: Days = Field(
        0, description="Days of imported observations, whole months of them; 0: all"
    )
    keep_days_bitso_books: Days = Field(
        400, description="Days of raw listings of Bitso's books; 0: all"
    )
    keep_days_coingecko_exchanges: Days = Field(400, description="Days of raw exchanges; 0: all")
    keep_days_coingecko_tickers: Days = Field(
        90, description="Days of raw tickers of exchanges; 0: all"
    )
    keep_days_coincap_exchanges: Days = Field(
        400, description="Days of raw exchange volumes; 0: all"
    )
    backups_kept: int = Field(
        7,
        ge=1,
        le=10_000,
        description="Backups of this warehouse that `loader backup` keeps in a folder, the new one "
        "included",
    )
    keep_days_runs: Days = Field(
        90,
        description="Days of runs, each by itself; `loader prune` folds older ones into counts "
        "by day; 0: all",
    )


@cache
def get_settings() -> Settings:
    """The settings of this process, read once; what is odd about them is warned of then.

    Raises UsageError, naming the variable, its value where that is no secret, and what is right.
    """
    given = environment.given(Settings.model_fields, PROJECT_ROOT / ".env")
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        problem = wrong_value(Settings.model_fields[name], first)
        raise UsageError(f"{environment.PREFIX}{name.upper()}: {problem}") from None
    keep_secret(settings)
    return settings
