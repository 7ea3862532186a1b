"""Settings: everything that an operator may choose, read once from the environment."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, IPvAnyNetwork
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.users.outside.configuration import OidcProvider, OutsideIssuer, ProviderName, ReturnAddress
from models.results import Family

MiB = 1024 * 1024
Bytes = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


def _listed(value: object) -> object:
    """`emotion, transcript` as well as a list."""
    return (
        [name.strip() for name in value.split(",") if name.strip()]
        if isinstance(value, str)
        else value
    )


Families = Annotated[frozenset[Family], NoDecode, BeforeValidator(_listed)]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]
ReturnAddresses = Annotated[tuple[ReturnAddress, ...], NoDecode, BeforeValidator(_listed)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_listed)]
Rate = Annotated[int, Field(ge=1)]  # requests in a window of app.ratelimits


class Settings(BaseSettings):
    """`VOCALITY_<NAME>`, but the addresses of other servers, which keep their usual names.

    An address that is unset means: run that server ourselves under `home` (app.embedded).
    """

    model_config = SettingsConfigDict(env_prefix="VOCALITY_", frozen=True, populate_by_name=True)

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    object_store_url: str | None = Field(default=None, validation_alias="OBJECT_STORE_URL")
    mlflow_tracking_uri: str | None = Field(default=None, validation_alias="MLFLOW_TRACKING_URI")
    ray_address: str | None = Field(default=None, validation_alias="RAY_ADDRESS")

    home: Path = Path("var")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_json: bool = False

    max_upload_bytes: Bytes = 512 * MiB
    max_one_shot_bytes: Bytes = 64 * MiB
    max_seconds: Seconds = 1800.0  # of decoded audio
    body_timeout_s: Seconds = 30.0  # longest wait for the next piece of a request's body
    one_shot_deadline_s: Seconds = 300.0

    lease_s: Seconds = 15.0  # a worker silent for so long has lost its job
    max_attempts: int = Field(default=3, ge=1)
    bulk_deadline_s: Seconds = 3600.0
    worker_concurrency: int = Field(default=4, ge=1)
    drain_s: Seconds = 20.0  # what a stopping worker gives to the jobs in its hands

    transcript_model: str | None = Field(
        default=None,
        description="Whisper checkpoint: a name, a path or a URI. None: no transcript.",
    )
    disabled_families: Families = Field(
        default=frozenset(),
        description="Comma list of families that are turned off: their weights are never loaded.",
    )

    rollout_memory_bytes: Bytes | None = Field(
        default=None,
        description="Most device memory that one version may need for a rollout of it. It is what "
        "the placement leaves free beside the champion. None: no limit.",
    )
    corpora: Path | None = Field(
        default=None,
        description="Folder of the dataset folders that retraining may learn from. "
        "None: `corpora` under home.",
    )

    public_url: str | None = Field(
        default=None,
        description="Where people reach the door, e.g. https://voice.example.org: issuer of "
        "tokens, base of links in mails. None: http://host:port.",
    )
    secret_key: str | None = Field(
        default=None,
        min_length=32,
        description="Seals signing keys and second factors at rest. None: made once, under home.",
    )
    access_token_s: Seconds = 600.0
    deletion_grace_s: Seconds = 30 * 24 * 3600.0  # in which a deletion can be taken back
    session_s: Seconds = 30 * 24 * 3600.0  # of a device that is not used
    refresh_grace_s: Seconds = 10.0  # in which a racing tab gets the same child
    account_cache_s: Seconds = 3.0  # a disabled user loses access within this and a breath
    password_memory_kib: int = Field(default=65536, ge=8192)  # of argon2id
    smtp_url: str | None = Field(default=None, description="None: letters lie in home/mail.")
    mail_from: str = "Nexus Vocality <no-reply@localhost>"

    passkey_domain: str | None = Field(
        default=None,
        description="The name that passkeys are bound to (WebAuthn's rp id), the host of "
        "public_url or a domain above it. None: that host.",
    )
    oidc_providers: dict[ProviderName, OidcProvider] = Field(
        default={},
        description="Where people may sign in instead, by name, as JSON: app.users.outside.",
    )
    return_addresses: ReturnAddresses = Field(
        default=(),
        description="Comma list of addresses to which a sign-in elsewhere may come back, each "
        "exactly as an app names it. None: nowhere.",
    )
    outside_issuers: tuple[OutsideIssuer, ...] = Field(
        default=(),
        description="Whose access tokens are taken besides our own, as JSON: app.users.outside.",
    )

    trusted_proxies: Networks = Field(
        default=(),
        description="Comma list of networks whose X-Forwarded-For is believed. None: nobody's.",
    )
    cors_origins: Texts = Field(
        default=(),
        description="Comma list of origins whose pages may call this door, each exactly as a "
        "browser names it, e.g. https://studio.example.org. None: only pages of this door.",
    )
    rate_limits: bool = Field(
        default=True, description="Off: nobody is counted, for benchmarks and drills."
    )
    rate_auth: Rate = 60  # a minute and address, at routes under /v1/auth
    rate_letters: Rate = 20  # an hour and address, at routes that send a letter to anybody
    rate_strangers: Rate = 120  # a minute and address, without credentials that we know
    rate_reads: Rate = 1200  # a minute and user
    rate_writes: Rate = 240  # a minute and user
    rate_heavy: Rate = 60  # a minute and user: takes to be decoded
    rate_keys: Rate = 600  # a minute and API key: no program uses up all of its owner's

    drills: bool = Field(
        default=False,
        description="To drill rollouts: versions may be told to fail (tag drill.fault), and "
        "anybody may come in as whom X-Drill-User names, with every role. Never where people are.",
    )

    @property
    def admin_key(self) -> Path:
        """Where the API key of the administrator lies whom the first start has made."""
        return self.home / "admin-key"

    @property
    def base_url(self) -> str:
        """Where people reach the door, without a slash at the end; also who signs our tokens."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


@cache
def settings() -> Settings:
    return Settings()
