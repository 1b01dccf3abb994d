"""What is secret in the settings and around them: no message, log or quarantine shows it."""

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, SecretStr

from loader.warehouse.redaction import KEYS, PASSWORDS

# What other programs are told in variables of their own, and of ours may name.
_FOREIGN_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")
_LONG_ENOUGH_FOR_A_TOKEN = 16


def keep_secret(settings: BaseModel) -> None:
    """From now on no message, log or quarantine shows what is secret in the settings."""
    values = dict(settings)
    KEYS.remember(
        "settings",
        [key for name in values if name.endswith("_key") for key in _texts(values[name])],
    )
    found = [text for value in values.values() for text in _texts(value)]
    proxies = [value for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    PASSWORDS.remember(
        "settings",
        [
            *(part for text in found for part in _parts(text)),
            *(part for proxy in proxies for part in _user_parts(proxy)),
            *(os.environ.get(name, "") for name in _FOREIGN_SECRETS),
        ],
    )


def _texts(value: Any) -> Iterator[str]:
    """The secret texts in the value of a setting."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, dict | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _parts(secret: str) -> Iterator[str]:
    """A secret, and of a secret address also the tokens and the password in it."""
    yield secret
    if "://" in secret:
        yield from _user_parts(secret)
        for part in re.split(r"[/:@?&=#]+", secret):
            if len(part) >= _LONG_ENOUGH_FOR_A_TOKEN and "." not in part:
                yield part


def _user_parts(address: str) -> Iterator[str]:
    """Who is to log in at an address, whether it is well formed or not, and the password."""
    user, at, _ = address.partition("://")[2].rpartition("@")
    password = user.partition(":")[2]
    if at:
        yield from (user, unquote(user), password, unquote(password))
