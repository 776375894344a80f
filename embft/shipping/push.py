"""An exported folder on a model hub, by the hub's own library."""

from __future__ import annotations

from pathlib import Path

from embft.errors import EmbftError


def check_repository(repository: str) -> None:
    """Raise EmbftError where nothing can be uploaded under this name, before anything is done."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise EmbftError(
            f"--push {repository}: not the name of a repository: {error}. Write OWNER/NAME"
        ) from None
    if constants.is_offline_mode():
        raise EmbftError(f"--push {repository}: HF_HUB_OFFLINE=1 forbids it: unset it, or export "
                         "without --push and upload the folder later")  # fmt: skip
    if get_token() is None:
        raise EmbftError(
            f"--push {repository}: no access token for {constants.ENDPOINT}: log in with "
            "`hf auth login`, or set HF_TOKEN to a token that may write"
        )


def push(folder: Path, repository: str, *, private: bool) -> str:
    """Upload the folder as one commit, and make the repository where it is missing.

    Returns the repository's address. Raises EmbftError, and the folder stays as it is.
    """
    from huggingface_hub import HfApi

    try:
        address = HfApi().create_repo(repository, private=private, exist_ok=True)
        HfApi().upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Model exported by embft"
        )
    except Exception as error:  # noqa: BLE001 - the client has many ways to say that it failed
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise EmbftError(
            f"--push {repository}: the hub did not take it ({reason}). The export itself is whole "
            f"in {folder}: upload it with `hf upload {repository} {folder}`"
        ) from None
    return str(address)
