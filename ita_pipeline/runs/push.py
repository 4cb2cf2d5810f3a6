"""Upload of an exported model to the hub of Hugging Face, or to the hub of the variable HF_ENDPOINT.

The token is the one that the library of the hub has of its own: from `hf auth login`, or the variable HF_TOKEN.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.remote import summarize_error


def repository_address(name: str) -> str:
    """The address of a repository on the hub.

    Raises:
        UsageError: the name cannot be that of a repository.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(
            f"{name!r} is no name of a repository", "write OWNER/NAME, such as ada/ashby-ner"
        ) from error
    return f"{constants.ENDPOINT}/{name}"


def push_model(folder: Path, name: str, public: bool = False) -> str:
    """Upload the files of an exported model in one commit, and return the address of the repository.

    A new repository is private unless `public` is set. A public one that exists already is refused without it.

    Raises:
        MissingError: there is no token, or the hub does not answer.
        UsageError: the hub is switched off or refuses the token, the name, or the files.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token, is_offline_mode
    from huggingface_hub.utils import disable_progress_bars

    address = repository_address(name)
    if is_offline_mode():
        raise UsageError("the hub is switched off by HF_HUB_OFFLINE", "unset HF_HUB_OFFLINE")
    if get_token() is None:
        raise MissingError("there is no token for the hub", "hf auth login, or set HF_TOKEN")
    disable_progress_bars()
    hub = HfApi(library_name="ita-pipeline")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with _report_errors(address):
        repository = hub.create_repo(name, private=not public, exist_ok=True).repo_id
        if not public and not hub.model_info(repository).private:
            raise UsageError(f"{address} is public", "agree with --public, or choose another name")
        operations = [CommitOperationAdd(file.relative_to(folder).as_posix(), file) for file in files]
        hub.create_commit(repository, operations, commit_message="Upload a model of ita-pipeline")
    return repository_address(repository)


@contextmanager
def _report_errors(address: str) -> Generator[None]:
    """Turn errors of the hub, and of the way there, into errors that a user can fix."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except UsageError:
        raise
    except HfHubHTTPError as error:
        code = error.response.status_code
        reason = error.server_message or f"status {code}"
        if code in (401, 403):
            raise UsageError(
                f"{address}: the hub refuses the token: {reason}",
                "log in with a token that may write: hf auth login",
            ) from error
        raise UsageError(f"{address}: the hub refuses the upload: {reason}", "nothing was published") from error
    except Exception as error:  # the library lets errors of the connection through, which are of many types
        what = f"{address} was not reached: {summarize_error(error)}"
        raise MissingError(what, "check the connection, and HF_ENDPOINT if it is set") from error
