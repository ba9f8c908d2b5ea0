"""After a run: an adapter with its model card as a folder, and on the hub."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, get_token

from grait.commands.export import trained_adapter, trained_on
from grait.commands.finished import open_run, trained_method
from grait.errors import ArtifactError, ConfigError, HubError, described, reason
from grait.model.adapters import CONFIG, WEIGHTS
from grait.pipeline.cards import CARD, HUB_ID, card, measured, public_base, save_public_dials, versions
from grait.pipeline.data import RunData
from grait.runtime.artifacts import Stage, write_json
from grait.runtime.files import replacing_folder


@dataclass(frozen=True)
class Pushed:
    """``url``: of the commit, None where nothing was uploaded."""

    folder: Path
    url: str | None


def push(
    run: str | Path, repo: str, *, method: str | None = None, is_private: bool = False, is_dry: bool = False
) -> Pushed:
    """Write ``RUN/push/METHOD`` (adapter, dial, model card with the run's measurements) and upload it to the hub.

    ``run``: folder of a finished run; ``repo``: OWNER/NAME, made if it is not there; ``method``: default the run's main
    one; ``is_dry``: write the folder only. Raises a GraitError with one line; HubError when the folder is complete but
    could not be uploaded.
    """
    data = open_run(run)
    if not isinstance(repo, str):
        raise ConfigError(f"repo: expected OWNER/NAME, found {described(repo)}; give a text such as 'me/my-adapter'")
    name = HUB_ID.fullmatch(repo)
    if name is None or name["owner"] is None:
        raise ConfigError(f"{repo}: no name of a repository; expected OWNER/NAME, such as me/my-adapter")
    method = trained_method(data, method)
    adapter = trained_adapter(data, method)
    folder = data.folder / "push" / method
    selected = trained_on(data, method, adapter)
    measured(data, method, adapter)
    versions(data)
    _write(folder, data, adapter, card(data, method, adapter, selected, repo=repo))
    return Pushed(folder, None if is_dry else _upload(folder, repo, method, is_private))


def _upload(folder: Path, repo: str, method: str, is_private: bool) -> str:
    problem = f"{repo}: not uploaded"
    upload = f"hf upload {repo} {folder}" + (" --private" if is_private else "")
    advice = f"the folder is complete: {folder}; to upload it later: hf auth login, then {upload}"
    if get_token() is None:
        raise HubError(f"{problem}: no access token of the hub (hf auth login, or HF_TOKEN); {advice}")
    api = HfApi()
    try:
        created = api.create_repo(repo, private=True if is_private else None, exist_ok=True)
        if is_private and not api.model_info(created.repo_id).private:
            raise HubError(f"{problem}: it is there already, and public; name another one; {advice}")
        commit = api.upload_folder(repo_id=created.repo_id, folder_path=folder, commit_message=f"grait: {method}")
    except HubError:
        raise
    except Exception as error:  # of the hub's library and of the network below it
        raise HubError(f"{problem}: {reason(error)}; {advice}") from error
    return str(commit.commit_url)


def _write(folder: Path, data: RunData, adapter: Stage, text: str) -> None:
    """The folder as a whole, in the place of an earlier one. No path of this machine is left in it."""
    try:
        with replacing_folder(folder) as partial:
            shutil.copyfile(adapter.folder / WEIGHTS, partial / WEIGHTS)
            config = json.loads((adapter.folder / CONFIG).read_text(encoding="utf-8"))
            write_json(partial / CONFIG, config | {"base_model_name_or_path": public_base(data.config)})
            save_public_dials(data, adapter.folder, partial)
            (partial / CARD).write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder}: cannot write what is to be uploaded: {reason(error)}") from error
