"""Hugging Face's hub: addresses of repositories, and a sentence for each way in which it refuses.

    hf://owner/name            the newest state
    hf://owner/name@v1.0       a branch, a tag or a commit

The hub is the one that HF_ENDPOINT names, else huggingface.co; the token is huggingface_hub's own
(HF_TOKEN, or `hf auth login`). Libraries are imported late, see lab.download.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lab.errors import ConfigError, DataError
from lab.progress import Cancelled

MARK = "hf://"


@dataclass(frozen=True)
class HubAddress:
    """A repository, of data or of a model, as the caller knows."""

    id: str
    """Such as "owner/name"."""
    revision: str = ""
    """A branch, a tag or a commit; "" is the newest state."""

    def __str__(self) -> str:
        return f"{MARK}{self.id}" + (f"@{self.revision}" if self.revision else "")

    def at(self, revision: str) -> str:
        """Returns the address with another revision, such as the commit that was fetched."""
        return f"{MARK}{self.id}@{revision}"


def is_hub_address(text: str) -> bool:
    return text.strip().startswith(MARK)


def hub_address(text: str) -> HubAddress:
    """Returns the address in `text`. Raises ConfigError for what is none."""
    path, _, revision = text.strip().removeprefix(MARK).partition("@")
    path = path.removeprefix("datasets/").removeprefix("models/").strip("/")
    part = r"[A-Za-z0-9_][\w.-]{0,95}"
    if not re.fullmatch(rf"{part}/{part}", path, re.ASCII) or ".." in path or "--" in path:
        raise ConfigError(
            f"{text!r:.120} is no address on the Hugging Face Hub; it must be {MARK}owner/name, "
            f"with @ and a branch, tag or commit behind it if you like."
        )
    if not re.fullmatch(r"[\w./-]{0,200}", revision, re.ASCII):
        raise ConfigError(f"{revision!r:.80} is no branch, tag or commit.")
    return HubAddress(path, revision)


def endpoint() -> str:
    """Returns the address of the hub."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


@contextlib.contextmanager
def hub_errors(address: HubAddress, what: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into DataErrors with a sentence. `what` is the kind of
    repository, such as "data set"."""
    import requests
    from huggingface_hub import errors, get_token

    lost = (vars(errors)["HTTPError"], requests.RequestException, ConnectionError, TimeoutError)
    try:
        yield
    except Cancelled:
        raise
    except errors.GatedRepoError as error:
        raise DataError(
            f"The {what} {address.id!r} asks everybody to accept its conditions: open "
            f"{endpoint()}/{address.id} with your account, accept them, then log in here with "
            "`hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        how = (
            "and the token of this machine does not open one that is private"
            if get_token()
            else "or it is private: log in with `hf auth login`, or set HF_TOKEN"
        )
        raise DataError(f"There is no {what} {address.id!r} on {endpoint()}, {how}.") from error
    except errors.RevisionNotFoundError as error:
        raise DataError(
            f"The {what} {address.id!r} has no branch, tag or commit {address.revision!r}."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise DataError(
            f"The {what} {address.id!r} was not asked for: HF_HUB_OFFLINE is set. Unset it."
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError) as error:
        raise DataError(_refused(address, what, error)) from error
    except RuntimeError as error:  # of an upload that broke off
        if not isinstance(error.__cause__, lost):
            raise
        raise DataError(_refused(address, what, error.__cause__)) from error
    except lost as error:  # by httpx, in releases before 1.0 by requests
        raise DataError(
            f"{endpoint()} cannot be reached ({type(error).__name__}): the {what} {address.id!r} "
            "needs the internet. Try again later; what had arrived is kept."
        ) from error


def _refused(address: HubAddress, what: str, error: BaseException) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return (
            f"{endpoint()} does not allow this for the {what} {address.id!r} (HTTP {status}): log "
            "in with `hf auth login`, or set HF_TOKEN, to an account that may."
        )
    answer = f"answered HTTP {status}" if status else "could not be reached"
    return f"{endpoint()} {answer} for the {what} {address.id!r}. Try again later."
